//! The connection table, read a page at a time.

use std::net::SocketAddr;

use lb_common::{layout::Settings, state::time::age};
use lb_model::{Method, Protocol, ServerId, State};

use super::{Connections, Stored};
use crate::{
    encode::{self, Identity},
    kernel::clock,
};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it comes from.
    pub client: SocketAddr,
    /// Where it went: VIP and port.
    pub service: SocketAddr,
    /// Who serves it.
    pub server: ServerId,
    /// How its packets reach the server.
    pub method: Method,
    /// Its state.
    pub state: State,
    /// When it ends if no packet comes, in seconds from now.
    pub expires: u32,
}

/// A place in the table, from which a page goes on. The first page begins at the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(u32);

/// A part of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Connections, in the order of their slots.
    pub rows: Vec<Connection>,
    /// How many were found, in the rows or not.
    pub found: u64,
    /// Where the next page begins; `None` at the end of the table.
    pub next: Option<Cursor>,
}

/// Slots that are looked at for one page. Nobody else is served meanwhile.
const SLOTS: u32 = 1 << 15;

/// Rows of one page at most: they also have to be written out.
const ROWS: usize = 1 << 11;

impl Page {
    /// The page from `cursor` on, of connections that `matches` lets through: at most `limit`
    /// rows. With a limit of 0, matching connections are counted only. `identity` says whose an
    /// entry of the map `servers` is.
    pub(crate) fn read(
        connections: &Connections,
        settings: &Settings,
        identity: impl Fn(u32) -> Option<Identity>,
        Cursor(first): Cursor,
        limit: usize,
        matches: impl Fn(&Connection) -> bool,
    ) -> Self {
        let now = clock::now(settings);
        let slots = connections.slots();
        let end = slots.min(first.saturating_add(SLOTS));
        let limit = limit.min(ROWS);
        let mut page = Self::default();
        for slot in first..end {
            let Some(found) = connections.live(slot, now, settings) else {
                continue;
            };
            let row = identity(found.server)
                .and_then(|identity| connection(&found, identity, now, settings));
            let Some(row) = row.filter(&matches) else {
                continue;
            };
            page.found += 1;
            if limit == 0 {
                continue;
            }
            page.rows.push(row);
            if page.rows.len() == limit {
                page.next = Some(Cursor(slot + 1)).filter(|_| slot + 1 < slots);
                return page;
            }
        }
        page.next = Some(Cursor(end)).filter(|_| end < slots);
        page
    }
}

/// For those who carry it to a client and back.
impl From<Cursor> for u64 {
    fn from(Cursor(slot): Cursor) -> Self {
        slot.into()
    }
}

/// Whatever a client brings: a number that is no place is the end of the table.
impl From<u64> for Cursor {
    fn from(place: u64) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }
}

/// A connection of the table in words; `None` if its server's entry is not in use.
fn connection(
    found: &Stored,
    identity: Identity,
    now: u32,
    settings: &Settings,
) -> Option<Connection> {
    let &Stored { key, word, .. } = found;
    let timeout = settings.timeouts.ticks(word.state());
    let left = timeout.saturating_sub(age(now, word.stamp()));
    let (protocol, client, service) = encode::ends(&key)?;
    Some(Connection {
        protocol,
        client,
        service,
        server: identity.server,
        method: identity.method,
        state: encode::state(word.state())?,
        expires: clock::seconds(settings, left),
    })
}

#[cfg(test)]
mod tests {
    use lb_common::{
        layout::{
            key::Key,
            slot::{BUCKET_SLOTS, Bucket, Forward},
            word::Word,
        },
        protocol::TCP,
        state::{CLAIMED, FREE, STATES, tcp::TcpState, timeouts::Timeouts},
    };
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::arrays::mapped::Mapped;

    /// A table of which some slots hold an established connection, whose client's port is the
    /// slot's number.
    fn table(slots: &[bool]) -> (Mapped<Bucket>, Settings) {
        let mut settings = Settings {
            timeouts: Timeouts([1000; STATES]),
            ..Settings::default()
        };
        settings.set_hz(250);
        let buckets = Mapped::private(slots.len() as u32 / BUCKET_SLOTS).unwrap();
        for (slot, &used) in (0..).zip(slots) {
            put(&buckets, slot, used, &settings);
        }
        (buckets, settings)
    }

    fn put(buckets: &Mapped<Bucket>, slot: u32, used: bool, settings: &Settings) {
        let mut bucket = buckets.read(slot / BUCKET_SLOTS).unwrap();
        let place = &mut bucket.slots[(slot % BUCKET_SLOTS) as usize];
        let state = match (used, slot % 2) {
            (true, _) => TcpState::Established as u8,
            (false, 0) => FREE,
            (false, _) => CLAIMED,
        };
        let word = Word::connection(clock::now(settings), state, 0, 0);
        place.word = word.bits();
        let key = Key::new(1, 2, u32::from((slot as u16).to_be()), TCP);
        place.key = key.of_server(7);
        place.route = Forward::NONE.bits();
        buckets.write(slot / BUCKET_SLOTS, bucket);
    }

    fn identity(server: u32) -> Option<Identity> {
        assert_eq!(server, 7);
        Some(Identity {
            service: "tcp/192.0.2.1:80".parse().unwrap(),
            server: "10.0.0.1:80".parse().unwrap(),
            method: Method::Dr,
        })
    }

    proptest! {
        /// Whatever else comes and goes meanwhile.
        #[test]
        fn who_reads_all_pages_sees_each_connection_that_stays_once(
            before in vec(any::<bool>(), 64),
            after in vec(any::<bool>(), 64),
            limits in vec(1..20usize, 64),
        ) {
            let (buckets, settings) = table(&before);
            let connections = Connections::new(buckets);
            let mut seen = Vec::new();
            let mut cursor = Some(Cursor::default());
            let mut limits = limits.into_iter();
            while let Some(from) = cursor {
                let limit = limits.next().unwrap();
                let page = Page::read(&connections, &settings, identity, from, limit, |_| true);
                prop_assert!(page.rows.len() <= limit);
                prop_assert_eq!(page.found, page.rows.len() as u64);
                seen.extend(page.rows.iter().map(|row| u32::from(row.client.port())));
                cursor = page.next;
                for (slot, (before, after)) in (0..).zip(before.iter().zip(&after)) {
                    if before != after {
                        put(connections.table(), slot, *after, &settings);
                    }
                }
            }
            prop_assert!(seen.is_sorted_by(|a, b| a < b));
            for (slot, (&before, &after)) in (0..).zip(before.iter().zip(&after)) {
                if before == after {
                    prop_assert_eq!(seen.contains(&slot), before);
                }
            }
        }
    }

    #[test]
    fn no_page_looks_at_more_than_a_part_of_the_table() {
        let (buckets, settings) = table(&vec![true; 3 * SLOTS as usize / 2]);
        let connections = Connections::new(buckets);
        let page =
            |from, limit| Page::read(&connections, &settings, identity, from, limit, |_| true);
        let first = page(Cursor::default(), usize::MAX);
        assert_eq!(
            (first.rows.len(), first.next),
            (ROWS, Some(Cursor(ROWS as u32)))
        );
        let counted = page(Cursor::default(), 0);
        assert_eq!(
            (counted.found, counted.next),
            (u64::from(SLOTS), Some(Cursor(SLOTS)))
        );
        let last = page(Cursor(SLOTS), 0);
        assert_eq!((last.found, last.next), (u64::from(SLOTS / 2), None));
        assert_eq!(page(Cursor(u32::MAX), usize::MAX), Page::default());
    }
}
