//! The packet path, as the director sees it: services and servers are put into it, and what it
//! counts is read. Nothing outside this crate knows a map, an index, a flag or a bit.
//!
//! From above, top to bottom:
//!
//! - [`Dataplane`]: all that the director can ask, a file of [`facade`] for each subject
//! - [`tables`]: the order in which services and servers are written and taken away
//! - [`encode`]: the model as map values, and back; the only room that looks into the model
//! - [`maps`]: what packets find, a file for each map
//! - [`connections`]: the connection table: how it is read, listed, swept and counted
//! - [`counts`]: what servers and services count
//! - [`life`]: how the packet path is loaded, adopted, grows and is taken down
//! - [`audit`]: how the maps are compared with what the daemon wrote, a part at a time
//! - [`arrays`]: array maps as memory of this process
//! - [`kernel`]: what the kernel offers and no library of ours gives
//! - [`crash`]: where tests let the daemon die
//! - [`raw`]: the maps themselves, for tests

mod arrays;
mod audit;
mod connections;
mod counts;
pub mod crash;
mod encode;
mod facade;
mod kernel;
mod life;
mod maps;
mod next_hop;
pub mod raw;
mod tables;

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray};
use lb_common::{layout::slot::Bucket, server::MOST_SERVERS};

use self::{
    arrays::mapped::Mapped,
    audit::Part,
    connections::{Connections, recount::Recount},
    counts::{Counts, retired::Retired, tally::Tally},
    kernel::clock,
    life::{Life, unfinished::Unfinished},
    maps::{
        addresses::Addresses,
        hops::Hops,
        interfaces::Interfaces,
        own::Own,
        rosters::Rosters,
        servers::Servers,
        settings::Settings,
        variable::{self, Parts},
    },
    tables::Tables,
};
pub use self::{
    connections::pages::{Connection, Cursor, Page},
    counts::numbers::{Numbers, ServerNumbers, Standing},
    facade::Swept,
    life::{
        Logger, Mode, Size, attached, is_elsewhere, is_in_use, links::LinkError,
        occupant::other_program, take_down,
    },
    next_hop::{Hop, Interface, NextHop},
};

/// What a packet path counts and remembers, to be read.
pub struct View {
    settings: Settings,
    tables: Tables,
    connections: Connections,
    drops: PerCpuArray<MapData, u64>,
    passes: PerCpuArray<MapData, u64>,
}

impl View {
    /// Looks at the packet path that an instance has, without a daemon: nothing is changed by
    /// that. `None` if there is none that this `lb-ctl` can read.
    pub fn of(instance: &str) -> Result<Option<Self>> {
        let Some(pinned) = life::pinned::Pinned::of(instance)? else {
            return Ok(None);
        };
        let room = pinned.room()?;
        let parts = Parts::of(&pinned.map("settings")?)?.frozen();
        let loads = pinned.map("loads")?;
        let loads = Mapped::blocks::<[u64; MOST_SERVERS as usize]>("loads", &loads)?.frozen();
        let retired = Retired::new(room.retired, parts.moving);
        let counts = Counts::new(loads, room.counters, retired, room.zeros);
        let servers = Servers::new(room.servers, |server| counts.has_load(server))?;
        let connections = Mapped::<Bucket>::new("connections", &pinned.map("connections")?)?;
        let tables = Tables::seen(
            room.services,
            Rosters::new(room.rosters)?,
            servers,
            counts,
            Addresses::new(parts.addresses)?,
            Own::new(pinned.map("own")?)?,
        )?;
        Ok(Some(Self {
            settings: Settings::new(parts.settings)?,
            tables,
            connections: Connections::new(connections.frozen()),
            drops: PerCpuArray::try_from(pinned.map("drops")?)?,
            passes: PerCpuArray::try_from(pinned.map("passes")?)?,
        }))
    }

    /// Bytes of kernel memory that the maps take.
    pub fn memory(&self) -> u64 {
        self.connections.bytes() + self.tables.bytes()
    }
}

/// A running packet path.
pub struct Dataplane {
    life: Life,
    view: View,
    interfaces: Interfaces,
    hops: Hops,
    recount: Recount,
    /// What is audited next.
    part: Part,
    /// The last field: see there.
    unfinished: Unfinished,
}

impl Dataplane {
    /// Loads the packet path, or adopts the one that this instance left running: its maps are
    /// taken as they are, and its program is replaced by [`attach`](Self::attach).
    pub fn open(instance: &str, size: Size) -> Result<Self> {
        let (life, settings, unfinished) = Life::open(instance, size)?;
        // Bound once more, so that it is dropped before `unfinished`.
        let mut life = life;
        let room = life.room_maps()?;
        let parts = Parts::of(&life.map(variable::SECTION)?)?;
        let loads = life.map("loads")?;
        let loads = Mapped::blocks::<[u64; MOST_SERVERS as usize]>("loads", &loads)?;
        let retired = Retired::new(room.retired, parts.moving);
        let counts = Counts::new(loads, room.counters, retired, room.zeros);
        let servers = Servers::new(room.servers, |server| counts.has_load(server))?;
        let connections = Mapped::<Bucket>::new("connections", &life.map("connections")?)?;
        let recount = Recount::new(servers.capacity(), parts.recount);
        let view = View {
            settings: Settings::new(parts.settings)?,
            tables: Tables::new(
                room.services,
                Rosters::new(room.rosters)?,
                servers,
                counts,
                Addresses::new(parts.addresses)?,
                Own::new(life.map("own")?)?,
            )?,
            connections: Connections::new(connections),
            drops: PerCpuArray::try_from(life.map("drops")?)?,
            passes: PerCpuArray::try_from(life.map("passes")?)?,
        };
        let mut this = Self {
            view,
            interfaces: Interfaces::new(parts.interfaces, life.map("stations")?)?,
            hops: Hops::new(life.map("hops")?)?,
            recount,
            part: Part::default(),
            life,
            unfinished,
        };
        if !this.life.adopted() {
            this.view.settings.begin(settings);
        }
        let Self { life, view, .. } = &mut this;
        let settings = &view.settings;
        clock::compare(|| {
            life.read_clock()?;
            settings.read_clock();
            Ok(settings.get().clock.nanoseconds)
        })?;
        let counts = this.view.tables.counts();
        this.life.finish_move(|counters, servers| {
            counts.carry_from(&Tally::of(counters, servers));
        })?;
        Ok(this)
    }

    /// True if the packet path had been running before.
    pub fn adopted(&self) -> bool {
        self.life.adopted()
    }

    /// Says that it outlives this value: until then, a packet path that was not adopted is taken
    /// down when the value is dropped.
    pub fn keep(&mut self) {
        self.unfinished.keep();
    }

    /// The logger that turns what the packet path says into log lines; `None` if it was given
    /// already. There is a new one after the packet path has moved to a larger room.
    pub fn logger(&mut self) -> Result<Option<Logger>> {
        self.life.logger()
    }

    /// What it counts and remembers.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Takes it down: links first, then maps.
    pub fn take_down(&self) -> Result<()> {
        self.life.take_down()
    }
}
