//! The packet path, as the director sees it: services and servers are put into it, and what it
//! counts is read. Nothing outside this folder knows a map, an index, a flag or a bit.

mod adoption;
pub mod attach;
mod audit;
pub mod bpffs;
pub mod clock;
mod connections;
pub mod crash;
mod encode;
mod kept;
mod loading;
pub mod mapped;
mod names;
mod next_hop;
mod numbers;
pub mod object;
mod pages;
pub mod pins;
mod recount;
mod retired;
mod room;
mod rosters;
mod servers;
mod services;
mod shown;
mod syscall;
pub mod variable;

use std::{fs, iter, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use aya_log::EbpfLogger;
use lb_common::{
    connection::{Bucket, DEFAULT_TIMEOUTS, Hash, buckets_for, ticks},
    drops::Drop,
    layout::{INTERFACES, Interface as Place, LAYOUT, Settings},
    server::MOST_SERVERS,
};
use lb_model::{Service, ServiceId, Timeouts};

use self::{
    adoption::Adopted,
    attach::Links,
    audit::{Part, Pinned},
    bpffs::Bpffs,
    connections::Connections,
    kept::Kept,
    loading::{available_memory, check_memory, check_memory_of_room, load, program},
    mapped::Mapped,
    names::Names,
    pins::Pins,
    recount::{Mended, Recount},
    retired::Retired,
    room::{Room, Tally, let_packets_pass},
    rosters::{NoLines, Rosters},
    servers::Servers,
    services::Services,
    shown::Shown,
};
pub use self::{
    attach::Mode,
    next_hop::{Hop, Interface, NextHop},
    numbers::{Numbers, ServerNumbers, Standing},
    pages::{Connection, Cursor, Page},
    variable::Parts,
};
use crate::crash::Step;

/// A running packet path.
pub struct Dataplane {
    ebpf: Ebpf,
    pins: Pins,
    links: Links,
    pinned: Vec<Pinned>,
    settings: Kept<Settings>,
    interfaces: Kept<Place>,
    drops: PerCpuArray<MapData, u64>,
    services: Services,
    connections: Connections,
    recount: Recount,
    /// What is audited next.
    part: Part,
    adopted: bool,
    /// The number of the room that it is in.
    room: u32,
}

/// How large to make a packet path that does not exist yet.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Capacity of the connection table.
    pub connections: u32,
    /// Servers that the configuration has.
    pub servers: u32,
    /// Services that the configuration has.
    pub services: u32,
}

impl Dataplane {
    /// Loads the packet path, or adopts the one that this instance left running: its maps are
    /// taken as they are, and its program is replaced by [`attach`](Self::attach).
    pub fn open(instance: &str, size: Size) -> Result<Self> {
        let pins = Pins::of(instance, Bpffs::mounted()?);
        pins.prepare()?;
        let found = adoption::adoptable(&pins)?;
        let adopted = found.is_some();
        pins.remove_unfinished_rooms()?;
        let Adopted {
            settings,
            room,
            size,
        } = match found {
            Some(found) => found,
            None => {
                let settings = fresh(size)?;
                let size = room::Size::of_places(u32::max(size.servers, size.services));
                check_memory(&settings, size, available_memory()?)?;
                Adopted {
                    settings,
                    room: room::FIRST,
                    size,
                }
            }
        };
        if !adopted {
            crash::after(Step::FolderMade);
        }
        let loaded = load(&pins, &pins.room(room), settings.hash, size);
        let mut ebpf = loaded.inspect_err(|_| {
            if !adopted {
                let _ = pins.remove();
            }
        })?;
        if !adopted {
            crash::after(Step::MapsPinned);
        }
        let maps = Room::of(&mut ebpf)?;
        let mut map = |name: &str| {
            ebpf.take_map(name)
                .ok_or_else(|| anyhow!("the eBPF object has no map `{name}`"))
        };
        let parts = Parts::of(&map(variable::SECTION)?)?;
        let servers = Servers::new(
            maps.servers,
            Mapped::blocks::<[u64; MOST_SERVERS as usize]>("loads", &map("loads")?)?,
            maps.counters,
            Retired::new(maps.retired, parts.moving),
            maps.zeros,
            parts.addresses,
        )?;
        let recount = Recount::new(servers.capacity());
        let rosters = Rosters::new(maps.rosters)?;
        let connections = Mapped::<Bucket>::new("connections", &map("connections")?)?;
        let mut this = Self {
            links: Links::new(pins.clone()),
            pinned: Vec::new(),
            settings: Kept::adopt(parts.settings)?,
            interfaces: Kept::adopt(parts.interfaces)?,
            drops: PerCpuArray::try_from(map("drops")?)?,
            services: Services::new(maps.services, Names::new(maps.names)?, rosters, servers)?,
            connections: Connections::new(connections),
            recount,
            part: Part::default(),
            pins,
            adopted,
            room,
            ebpf,
        };
        if !adopted {
            // The version last: it says that all the rest is there.
            let layout = 0;
            this.settings.write(0, Settings { layout, ..settings });
            crash::after(Step::SettingsWritten);
            this.settings.write(0, settings);
            crash::after(Step::LayoutWritten);
        }
        clock::read(program(&mut this.ebpf, "clock")?)?;
        crash::after(Step::ClockRead);
        if let Some(settings) = this.settings.map().read(0) {
            this.settings.write(0, settings);
        }
        this.finish_move()?;
        this.hold_pinned_maps()?;
        Ok(this)
    }

    /// Makes sure that there is room for these services. [`put`](Self::put) does so for one;
    /// to do it for many at once spares moving to a larger room time and again, and finds out
    /// before anything is changed if there is no memory.
    pub fn make_room<'a>(&mut self, services: impl Iterator<Item = &'a Service>) -> Result<()> {
        match self.services.lacks(services)? {
            Some(needed) => self.grow(needed),
            None => Ok(()),
        }
    }

    /// Makes a service what it should be: packets see the old servers or the new ones, whole.
    /// Nothing is written if nothing changed, and no other service is looked at.
    pub fn put(&mut self, service: &Service, next_hop: impl Fn(IpAddr) -> NextHop) -> Result<()> {
        self.make_room(iter::once(service))?;
        match self.services.put(service, &next_hop) {
            // Free lines are in pieces that are too small.
            Err(error) if error.is::<NoLines>() => {
                self.grow(self.services.size())?;
                self.services.put(service, &next_hop)
            }
            outcome => outcome,
        }
    }

    /// Removes a service. Its connections stay in the table until they expire, and their
    /// packets are dropped, as in IPVS.
    pub fn remove(&mut self, service: ServiceId) -> Result<()> {
        self.services.remove(service)
    }

    /// The services that packets find, in no order.
    pub fn services(&self) -> Vec<ServiceId> {
        self.services.ids()
    }

    /// All that the maps say of the services that packets find, in the order in which they came.
    /// An error names the first one that makes no sense.
    pub fn read_back(&self) -> Result<Vec<Service>> {
        self.services.all()
    }

    /// Frees what removed servers still occupy, once no connection remembers them. True if
    /// there were any.
    pub fn forget_unused(&mut self) -> bool {
        self.services.servers_mut().forget_unused()
    }

    /// Changes the next hop of all servers with this address.
    pub fn set_next_hop(&self, address: IpAddr, next_hop: &NextHop) {
        self.services.servers().set_next_hop(address, next_hop);
    }

    /// The next hop that packets take to a server with this address, if they leave by this
    /// interface.
    pub fn next_hop(&self, address: IpAddr, interface: u32) -> Option<Hop> {
        self.services.servers().hop(address, interface)
    }

    /// True if a server has this address, or if one had that connections remember.
    pub fn has_server_at(&self, address: IpAddr) -> bool {
        self.services.servers().have(address)
    }

    /// What is counted for a service and its servers.
    pub fn numbers(&self, service: ServiceId) -> Numbers<'_> {
        Numbers::of(&self.services, service)
    }

    /// Shows what these services and their servers count from here on (`ipvsadm -Z`).
    pub fn zero(&mut self, services: &[ServiceId]) {
        self.services.zero(services);
    }

    /// How often [`estimate_rates`](Self::estimate_rates) is to be called.
    pub const RATES_EVERY: Duration = Shown::TICK;

    /// Estimates the rates of all services and servers.
    pub fn estimate_rates(&mut self) {
        self.services.estimate();
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
        let servers = self.services.servers();
        let identity = |server| servers.identity(server);
        let settings = self.settings();
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
        self.services.servers().connections()
    }

    /// True if any server has a connection.
    pub fn has_connections(&self) -> bool {
        self.services.servers().have_connections()
    }

    /// How many connections the table was made for.
    pub fn capacity(&self) -> u32 {
        self.settings().connections
    }

    /// Slots of the connection table: a NAT connection takes two.
    pub fn slots(&self) -> u32 {
        self.connections.slots()
    }

    /// Moves to a room that holds this much, and some more; see [`room`].
    fn grow(&mut self, needed: room::Size) -> Result<()> {
        if needed.places > room::MOST {
            bail!(
                "{} servers or services are more than the {} that an instance can have",
                needed.places,
                room::MOST
            );
        }
        let before = self.services.size();
        let size = needed.with_reserve().max(before);
        let servers = size.places;
        check_memory_of_room(size, available_memory()?)?;
        let number = self.room + 1;
        let unfinished = self.pins.unfinished_room(number);
        let furnished =
            load(&self.pins, &unfinished, self.settings().hash, size).and_then(|mut ebpf| {
                crash::after(Step::RoomMade);
                let larger = self.services.copied_to(Room::of(&mut ebpf)?)?;
                crash::after(Step::RoomFurnished);
                self.pins.finish_room(number)?;
                crash::after(Step::RoomFinished);
                Ok((ebpf, larger))
            });
        let (ebpf, larger) = furnished
            .inspect_err(|_| {
                let _ = self.pins.remove_room(&unfinished);
            })
            .with_context(|| format!("cannot make room for {servers} servers"))?;
        self.ebpf = ebpf;
        self.take_over_links()?;
        let_packets_pass();
        self.services.move_to(larger);
        crash::after(Step::CountCarried);
        let left = self.pins.room(std::mem::replace(&mut self.room, number));
        if let Err(error) = self.pins.remove_room(&left) {
            tracing::error!("the room that is no longer used stays: {error:#}");
        }
        crash::after(Step::RoomLeft);
        self.hold_pinned_maps()?;
        tracing::info!(
            "there is room for {servers} servers now, after {}",
            before.places
        );
        Ok(())
    }

    /// Where an earlier daemon died while it moved to a larger room: does what it had not done.
    fn finish_move(&mut self) -> Result<()> {
        let rooms = self.pins.rooms()?.into_iter();
        let earlier: Vec<_> = rooms
            .filter(|&number| number != self.room)
            .map(|number| self.pins.room(number))
            .collect();
        let Some(last) = earlier.last() else {
            return Ok(());
        };
        tracing::info!("finishing the move to a larger room that was not finished");
        self.take_over_links()?;
        let_packets_pass();
        // Where its counters are gone, they had been carried over.
        if last.join("counters").exists() {
            let (counters, servers) = room::counters_pinned_at(last)?;
            self.services
                .servers()
                .carry_from(&Tally::of(&counters, servers));
        }
        for folder in &earlier {
            self.pins.remove_room(folder)?;
        }
        Ok(())
    }

    /// Puts the program into all links that are pinned.
    fn take_over_links(&mut self) -> Result<()> {
        let interfaces = self.links.interfaces()?;
        let program = program(&mut self.ebpf, "director")?;
        for index in interfaces {
            if let Err(error) = self.links.take_over(program, index) {
                // Most likely the interface went away.
                tracing::warn!("the link to the interface with index {index} is dead: {error:#}");
            }
        }
        Ok(())
    }

    /// Takes it down: links first, then maps.
    pub fn take_down(&self) -> Result<()> {
        self.pins.remove().map(drop)
    }

    /// True where the packet path had been running before.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    fn settings(&self) -> Settings {
        self.settings.read(0).unwrap_or_default()
    }

    /// The logger that turns what the packet path says into log lines; nothing where it was
    /// given already. There is a new one in each room.
    pub fn logger(&mut self) -> Result<Option<Logger>> {
        if self.ebpf.map(LOG).is_none() {
            return Ok(None);
        }
        let logger = EbpfLogger::init(&mut self.ebpf);
        logger
            .context("cannot read the packet path's log")
            .map(Some)
    }

    /// Makes the packet path handle an interface's packets.
    pub fn attach(&mut self, name: &str, index: u32, mode: Mode) -> Result<()> {
        let program = program(&mut self.ebpf, "director")?;
        self.links.attach(program, name, index, mode)
    }

    /// Stops handling an interface's packets.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        self.links.detach(index)
    }

    /// The interfaces that the packet path handles, by index.
    pub fn attached(&self) -> Result<Vec<u32>> {
        self.links.interfaces()
    }

    /// Those whose links are alive: the packet path sees their packets.
    pub fn handled(&self) -> Result<Vec<u32>> {
        self.links.alive()
    }

    /// Sets the timeouts of connections, from now on and for those that there are.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        let mut settings = self.settings();
        let wanted = encode::timeouts_in_ticks(timeouts, settings.hz);
        if settings.timeouts != wanted {
            settings.timeouts = wanted;
            self.change_settings(settings);
            crash::after(Step::TimeoutsWritten);
        }
    }

    /// The timeouts of connections.
    pub fn timeouts(&self) -> Timeouts {
        encode::timeouts(&self.settings())
    }

    /// The checksum of the file that was applied last: see [`note_file`](Self::note_file).
    pub fn file(&self) -> u32 {
        self.settings().file
    }

    /// Notes which file was applied, by its checksum; 0 while one is being applied.
    pub fn note_file(&self, checksum: u32) {
        let mut settings = self.settings();
        if settings.file != checksum {
            settings.file = checksum;
            self.change_settings(settings);
            crash::after(Step::FileNoted);
        }
    }

    /// Says that routes or neighbours have changed: replies look up their way anew.
    pub fn routes_changed(&self) {
        let mut settings = self.settings();
        settings.route_epoch = settings.route_epoch.wrapping_add(1);
        self.change_settings(settings);
        crash::after(Step::EpochWritten);
    }

    /// Writes the settings; if somebody else did, that is told, as an audit would.
    fn change_settings(&self, settings: Settings) {
        audit::tell(&self.repair_settings());
        self.settings.write(0, settings);
    }

    /// Tells the packet path this machine's Ethernet interfaces, all of them.
    pub fn set_interfaces(&self, interfaces: &[Interface]) {
        for place in 0..self.interfaces.entries() {
            let known = self.interfaces.read(place).unwrap_or_default().index;
            if known != 0 && interfaces.iter().all(|interface| interface.index != known) {
                self.interfaces.write(place, Place::default());
            }
        }
        for &interface in interfaces {
            let value = encode::interface(interface);
            let place = interface.index % INTERFACES;
            if self.interfaces.read(place) != Some(value) {
                self.interfaces.write(place, value);
                crash::after(Step::PortWritten);
            }
        }
    }

    /// Packets dropped, by reason.
    pub fn drops(&self) -> Result<Vec<(Drop, u64)>> {
        Drop::ALL
            .iter()
            .map(|&reason| {
                let counts = self.drops.get(&(reason as u32), 0)?;
                Ok((reason, counts.iter().sum()))
            })
            .collect()
    }

    /// Bytes of kernel memory that the maps take.
    pub fn memory(&self) -> u64 {
        self.connections.bytes() + self.services.bytes()
    }

    /// Takes expired connections away, in the next part of the table, which is `share` of it or
    /// a little more.
    pub fn sweep(&mut self, share: f64) -> Swept {
        /// Less is not worth a call.
        const LEAST: u32 = 512;
        let buckets = (f64::from(self.connections.buckets()) * share).ceil() as u32;
        let settings = self.settings();
        let servers = self.services.servers();
        let recount = &mut self.recount;
        let (ended, whole) =
            self.connections
                .sweep(buckets.max(LEAST), &settings, servers.loads(), recount);
        if whole {
            recount.finish(servers).iter().for_each(|m| self.tell(m));
        }
        Swept { ended, whole }
    }

    fn tell(&self, mended: &Mended) {
        let Mended {
            server,
            before,
            now,
        } = *mended;
        let identity = self.services.servers().identity(server);
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

/// What one call of [`Dataplane::sweep`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many connections were taken away.
    pub ended: u32,
    /// True if it came to the end of the table.
    pub whole: bool,
}

/// Turns what the packet path says into log lines.
pub type Logger = EbpfLogger<&'static dyn log::Log>;

/// The map that the logger takes.
const LOG: &str = "AYA_LOGS";

/// Takes down the packet path of an instance that no daemon looks after: links first, then maps. Gives what was removed.
pub fn take_down(instance: &str) -> Result<Vec<std::path::PathBuf>> {
    Pins::of(instance, Bpffs::find()).remove()
}

fn fresh(size: Size) -> Result<Settings> {
    let mut random = [0; 32];
    let mut source = fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut random).context("cannot read /dev/urandom")?;
    let long = |i: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&random[8 * i..8 * i + 8]);
        u64::from_ne_bytes(bytes)
    };
    let hz = clock::hz()?;
    let mut settings = Settings {
        layout: LAYOUT,
        timeouts: DEFAULT_TIMEOUTS.map(|seconds| ticks(seconds, hz)),
        hash: Hash {
            addends: [long(0), long(1), long(2), long(3)],
            buckets: buckets_for(size.connections),
            _pad: 0,
        },
        connections: size.connections,
        ..Settings::default()
    };
    settings.set_hz(hz);
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_does_not_fit_in_memory_is_refused_before_it_is_made() {
        const GIB: u64 = 1 << 30;
        let size = |connections| Size {
            connections,
            servers: 10,
            services: 1,
        };
        let check = |connections| {
            let room = room::Size::of_places(10);
            check_memory(&fresh(size(connections)).unwrap(), room, GIB)
        };
        assert!(check(1_000_000).is_ok());
        let error = check(20_000_000).unwrap_err().to_string();
        assert!(
            error.contains("connections: 20000000") && error.contains("1024 MiB are available"),
            "{error}"
        );
    }

    #[test]
    fn every_table_has_a_hash_of_its_own() {
        let size = Size {
            connections: 1000,
            servers: 0,
            services: 0,
        };
        let [one, other] = [fresh(size).unwrap().hash, fresh(size).unwrap().hash];
        assert_ne!(one.addends, other.addends);
    }
}
