//! The packet path, as the director sees it: services and servers are put into it, and what it
//! counts is read. Nothing outside this crate knows a map, an index, a flag or a bit.
//!
//! - [`encode`]: the model as map values, and back; the only file that looks into the model
//! - [`tables`]: what packets find; [`maps`]: each map, with a copy to compare it with
//! - [`counts`]: what servers and services count
//! - [`connections`], [`recount`], [`pages`]: the connection table
//! - [`life`]: how the packet path is loaded, adopted, grows and is taken down
//! - [`kernel`]: what the kernel offers and no library of ours gives
//! - [`crash`]: where tests let the daemon die

mod audit;
pub mod clock;
mod connections;
mod counts;
pub mod crash;
mod encode;
mod kept;
mod kernel;
mod life;
mod mapped;
mod maps;
mod next_hop;
mod object;
mod pages;
pub mod raw;
mod recount;
mod rosters;
mod tables;

use std::{iter, net::IpAddr, time::Duration};

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray};
use lb_common::{drops::Drop, layout::slot::Bucket, server::MOST_SERVERS};
use lb_model::{Load, Service, ServiceId, Timeouts};

use self::{
    audit::Part,
    connections::Connections,
    counts::{Counts, retired::Retired, tally::Tally},
    crash::Step,
    life::{Life, room},
    mapped::Mapped,
    maps::{
        addresses::Addresses,
        interfaces::Interfaces,
        servers::Servers,
        settings::Settings,
        variable::{self, Parts},
    },
    recount::{Mended, Recount},
    rosters::{NoLines, Rosters},
    tables::Tables,
};
pub use self::{
    counts::numbers::{Numbers, ServerNumbers, Standing},
    life::{Logger, Mode, Size, take_down},
    next_hop::{Hop, Interface, NextHop},
    pages::{Connection, Cursor, Page},
};

/// A running packet path.
pub struct Dataplane {
    life: Life,
    settings: Settings,
    interfaces: Interfaces,
    tables: Tables,
    connections: Connections,
    recount: Recount,
    drops: PerCpuArray<MapData, u64>,
    /// What is audited next.
    part: Part,
}

/// What one call of [`Dataplane::sweep`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many connections were taken away.
    pub ended: u32,
    /// True if it came to the end of the table.
    pub whole: bool,
}

impl Dataplane {
    /// Loads the packet path, or adopts the one that this instance left running: its maps are
    /// taken as they are, and its program is replaced by [`attach`](Self::attach).
    pub fn open(instance: &str, size: Size) -> Result<Self> {
        let (mut life, settings) = Life::open(instance, size)?;
        let room = life.room_maps()?;
        let parts = Parts::of(&life.map(variable::SECTION)?)?;
        let loads = life.map("loads")?;
        let loads = Mapped::blocks::<[u64; MOST_SERVERS as usize]>("loads", &loads)?;
        let retired = Retired::new(room.retired, parts.moving);
        let counts = Counts::new(loads, room.counters, retired, room.zeros);
        let servers = Servers::new(room.servers, |server| counts.has_load(server))?;
        let connections = Mapped::<Bucket>::new("connections", &life.map("connections")?)?;
        let recount = Recount::new(servers.capacity(), parts.recount);
        let mut this = Self {
            settings: Settings::new(parts.settings)?,
            interfaces: Interfaces::new(parts.interfaces)?,
            tables: Tables::new(
                room.services,
                Rosters::new(room.rosters)?,
                servers,
                counts,
                Addresses::new(parts.addresses)?,
            )?,
            connections: Connections::new(connections),
            recount,
            drops: PerCpuArray::try_from(life.map("drops")?)?,
            part: Part::default(),
            life,
        };
        if !this.life.adopted() {
            this.settings.begin(settings);
        }
        this.life.read_clock()?;
        this.settings.read_clock();
        let counts = this.tables.counts();
        this.life.finish_move(|counters, servers| {
            counts.carry_from(&Tally::of(counters, servers));
        })?;
        Ok(this)
    }

    /// True if the packet path had been running before.
    pub fn adopted(&self) -> bool {
        self.life.adopted()
    }

    /// Takes it down: links first, then maps.
    pub fn take_down(&self) -> Result<()> {
        self.life.take_down()
    }

    /// Makes a service what it should be: packets see the old servers or the new ones, whole.
    /// Nothing is written that is there already, and no other service is looked at.
    pub fn put(&mut self, service: &Service, next_hop: impl Fn(IpAddr) -> NextHop) -> Result<()> {
        self.make_room(iter::once(service))?;
        match self.tables.put(service, &next_hop) {
            // Free lines are in pieces that are too small.
            Err(error) if error.is::<NoLines>() => {
                self.grow(self.tables.size())?;
                self.tables.put(service, &next_hop)
            }
            outcome => outcome,
        }
    }

    /// Removes a service. Its connections stay in the table until they expire, and their
    /// packets are dropped, as in IPVS.
    pub fn remove(&mut self, service: ServiceId) -> Result<()> {
        self.tables.remove(service)
    }

    /// Makes sure that there is room for these services. [`put`](Self::put) does so for one
    /// service. If there are many, it is better done for all at once: then the packet path
    /// moves to a larger room once, and if there is no memory, nothing has been changed yet.
    pub fn make_room<'a>(&mut self, services: impl Iterator<Item = &'a Service>) -> Result<()> {
        match self.tables.lacks(services)? {
            Some(needed) => self.grow(needed),
            None => Ok(()),
        }
    }

    fn grow(&mut self, needed: room::Size) -> Result<()> {
        let before = self.tables.size();
        let size = life::larger(needed, before)?;
        let copy = |maps| self.tables.copied_to(maps);
        let (room, larger) = self.life.furnish(size, &self.settings.get(), copy)?;
        self.life.enter(room)?;
        self.tables.move_to(larger);
        crash::after(Step::CountCarried);
        self.life.leave_earlier_rooms()?;
        tracing::info!(
            "there is room for {} servers now, after {}",
            size.places,
            before.places
        );
        Ok(())
    }

    /// The services that packets find, in no order.
    pub fn services(&self) -> Vec<ServiceId> {
        self.tables.services()
    }

    /// Frees what removed servers still occupy, if no connection refers to them. True if there
    /// were any.
    pub fn forget_unused(&mut self) -> bool {
        self.tables.forget_unused()
    }

    /// Changes the next hop of all servers with this address.
    pub fn set_next_hop(&self, address: IpAddr, next_hop: &NextHop) {
        self.tables.servers().set_next_hop(address, next_hop);
    }

    /// The next hop that packets take to a server with this address, if they leave by this
    /// interface.
    pub fn next_hop(&self, address: IpAddr, interface: u32) -> Option<Hop> {
        self.tables.servers().hop(address, interface)
    }

    /// True if a server has this address, or if a removed one had to which connections refer.
    pub fn has_server_at(&self, address: IpAddr) -> bool {
        self.tables.servers().have(address)
    }

    /// What is counted for a service and its servers.
    pub fn numbers(&self, service: ServiceId) -> Numbers<'_> {
        Numbers::of(&self.tables, service)
    }

    /// Shows what these services and their servers count from here on (`ipvsadm -Z`).
    pub fn zero(&mut self, services: &[ServiceId]) {
        self.tables.zero(services);
    }

    /// How often [`estimate_rates`](Self::estimate_rates) is to be called.
    pub const RATES_EVERY: Duration = counts::RATES_EVERY;

    /// Estimates the rates of all services and servers.
    pub fn estimate_rates(&mut self) {
        self.tables.estimate_rates();
    }

    /// Packets dropped, by reason.
    pub fn drops(&self) -> Result<Vec<(Drop, u64)>> {
        let count = |&reason: &Drop| {
            let counts = self.drops.get(&(reason as u32), 0)?;
            Ok((reason, counts.iter().sum()))
        };
        Drop::ALL.iter().map(count).collect()
    }

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

    /// Takes expired connections away, in the next part of the table, which is `share` of it or
    /// a little more.
    pub fn sweep(&mut self, share: f64) -> Swept {
        /// Less is not worth a call.
        const LEAST: u32 = 512;
        let buckets = (f64::from(self.connections.buckets()) * share).ceil() as u32;
        let settings = self.settings.get();
        let recount = &mut self.recount;
        let swept = self.life.sweeper().and_then(|program| {
            self.connections
                .sweep(buckets.max(LEAST), &settings, program, recount)
        });
        let (ended, whole) = swept.unwrap_or_else(|error| {
            tracing::error!("expired connections stay in the table: {error:#}");
            (0, false)
        });
        if whole && let Some(mended) = recount.finish(self.tables.counts()) {
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
        let identity = self.tables.servers().identity(server);
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

    /// Makes the packet path handle an interface's packets.
    pub fn attach(&mut self, name: &str, index: u32, mode: Mode) -> Result<()> {
        self.life.attach(name, index, mode)
    }

    /// Stops handling an interface's packets.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        self.life.detach(index)
    }

    /// The interfaces that the packet path handles, by index.
    pub fn attached(&self) -> Result<Vec<u32>> {
        self.life.links().interfaces()
    }

    /// Those whose links are alive: the packet path sees their packets.
    pub fn handled(&self) -> Result<Vec<u32>> {
        self.life.links().alive()
    }

    /// Tells the packet path this machine's Ethernet interfaces, all of them.
    pub fn set_interfaces(&self, interfaces: &[Interface]) {
        self.interfaces.set(interfaces);
    }

    /// Says that routes or neighbours have changed: replies look up their way anew.
    pub fn routes_changed(&self) {
        self.settings.next_epoch();
    }

    /// Sets the timeouts of connections, also of those that there are.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        self.settings.set_timeouts(timeouts);
    }

    /// In how many calls of [`audit`](Self::audit) all maps are looked through.
    pub const AUDITS: u32 = Part::ALL;

    /// Looks through the next part of the maps, and repairs and logs what somebody else has
    /// changed.
    pub fn audit(&mut self) -> Result<()> {
        let part = self.part;
        self.part = part.next();
        let mut repaired = self.tables.repair(part)?;
        repaired.extend(self.settings.repair());
        repaired.extend(self.interfaces.repair(part));
        audit::tell(&repaired);
        Ok(())
    }

    /// True if the next call of [`audit`](Self::audit) begins anew.
    pub fn audit_begins(&self) -> bool {
        self.part.is_first()
    }

    /// Pins maps again whose pins are gone: the next daemon needs them to adopt the maps.
    pub fn repair_pins(&self) -> Result<()> {
        self.life.repair_pins()
    }

    /// Sees to it that the link to an interface is alive. An error says that the program must be
    /// attached anew.
    pub fn repair_link(&mut self, name: &str, index: u32) -> Result<()> {
        self.life.repair_link(name, index)
    }

    /// The logger that turns what the packet path says into log lines; `None` if it was given
    /// already. There is a new one after the packet path has moved to a larger room.
    pub fn logger(&mut self) -> Result<Option<Logger>> {
        self.life.logger()
    }

    /// Bytes of kernel memory that the maps take.
    pub fn memory(&self) -> u64 {
        self.connections.bytes() + self.tables.bytes()
    }
}
