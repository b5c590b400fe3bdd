//! The connection table: how it is listed, and rid of expired connections.

use lb_model::{Load, Timeouts};

use crate::{
    Dataplane, View,
    connections::{
        pages::{Connection, Cursor, Page},
        recount::Mended,
    },
    encode,
};

/// What one call of [`Dataplane::sweep`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many connections were taken away.
    pub ended: u32,
    /// True if it came to the end of the table.
    pub whole: bool,
}

impl View {
    /// A page of the connection table, from `cursor` on: at most `limit` connections that
    /// `matches` lets through. A limit of 0 counts them only. One call looks at a part of the
    /// table only, however large that is.
    ///
    /// A connection that lives while all pages are read is in one of them, once: it stays in its
    /// slot.
    pub fn connections(
        &self,
        cursor: Cursor,
        limit: usize,
        matches: impl Fn(&Connection) -> bool,
    ) -> Page {
        let servers = self.tables.servers();
        let identity = |server| servers.identity(server);
        let settings = self.settings.get();
        Page::read(
            &self.connections,
            &settings,
            identity,
            cursor,
            limit,
            matches,
        )
    }

    /// The number of connections of all servers, removed ones too.
    pub fn connections_in_use(&self) -> u64 {
        let counts = self.tables.counts();
        let loads = self.tables.servers().all();
        let Load { active, inactive } = loads
            .map(|used| encode::load(counts.load(used.index)))
            .sum();
        active + inactive
    }

    /// True if any server has a connection.
    pub fn has_connections(&self) -> bool {
        let counts = self.tables.counts();
        (0..counts.capacity()).any(|server| counts.has_load(server))
    }

    /// How many connections the table was made for.
    pub fn capacity(&self) -> u32 {
        self.settings.get().connections
    }

    /// Slots of the connection table: a NAT connection takes two.
    pub fn slots(&self) -> u32 {
        self.connections.slots()
    }
}

impl Dataplane {
    /// Sets the timeouts of connections, also of those that there are.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        self.view.settings.set_timeouts(timeouts);
    }

    /// Takes expired connections away, in the next part of the table, which is `share` of it or
    /// a little more.
    pub fn sweep(&mut self, share: f64) -> Swept {
        /// Less is not worth a call.
        const LEAST: u32 = 512;
        let buckets = (f64::from(self.view.connections.buckets()) * share).ceil() as u32;
        let settings = self.view.settings.get();
        let recount = &mut self.recount;
        let swept = self.life.sweeper().and_then(|program| {
            self.view
                .connections
                .sweep(buckets.max(LEAST), &settings, program, recount)
        });
        let (ended, whole) = swept.unwrap_or_else(|error| {
            tracing::error!("expired connections stay in the table: {error:#}");
            (0, false)
        });
        if whole && let Some(mended) = recount.finish(self.view.tables.counts()) {
            self.tell(&mended);
        }
        Swept { ended, whole }
    }

    fn tell(&self, mended: &Mended) {
        let Mended {
            server,
            before,
            now,
        } = *mended;
        let identity = self.view.tables.servers().identity(server);
        let who = identity.map_or_else(
            || format!("the free entry {server}"),
            |identity| format!("server {} of {}", identity.server, identity.service),
        );
        tracing::warn!(
            "{who} counted {} active and {} inactive connections, but the table has {} and {}: \
             put right",
            before.active,
            before.inactive,
            now.active,
            now.inactive
        );
    }
}
