//! The maps whose size follows the configuration, and how a running packet path gets larger ones.
//!
//! The kernel cannot make a map larger. So the daemon loads the program again, with another
//! *room*: larger copies of these maps; the connection table and all other maps are shared. Then
//! the new program replaces the old one in every link, between two packets. Indices stay as
//! they are, so that connections are not affected.
//!
//! Rooms are pinned in folders with numbers. A new room is called `unfinished` until it is a
//! full copy of the old one; while there are two, programs of either may run. If the daemon
//! dies, the next one finishes the move: it takes the later room, puts its program into every
//! link, and carries over what the earlier room counted.
//!
//! Counters are carried as totals, into a row of the map `counters` that belongs to no CPU:
//! carrying them twice does no harm.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, Map, MapData},
};
use lb_common::{
    schedule::RosterLine,
    server::{Counters, MOST_SERVERS, Server as Entry},
    service::{Service as Value, ServiceKey},
};

use crate::arrays::mapped::Mapped;

/// The maps of a room.
pub const MAPS: [&str; 6] = [
    "servers", "counters", "retired", "zeros", "services", "rosters",
];

/// The number of a packet path's first room.
pub const FIRST: u32 = 1;

/// The most servers, and the most services, that an instance can have. The map `loads` has a
/// place for each of them from the start and is never copied: it changes with every connection.
pub const MOST: u32 = MOST_SERVERS;

/// Places that every room has.
const LEAST: u32 = 8192;

/// Lines in the map `rosters` that every room has for each place. The roster of a service with
/// one server takes two; and a roster that is replaced keeps its lines for a moment.
pub const LINES_EACH: u32 = 4;

/// The most lines that a room can have: 4 GiB.
const MOST_LINES: u32 = 1 << 26;

/// How large a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Places for servers, and as many for services.
    pub places: u32,
    /// Lines for rosters: [`LINES_EACH`] for each place, more if schedulers have tables.
    pub lines: u32,
}

impl Size {
    /// The size of a room that has to hold so many services and servers, with few servers in
    /// each service and no tables.
    pub fn of_places(needed: u32) -> Self {
        let (places, lines) = (needed, 0);
        Self { places, lines }.with_reserve()
    }

    /// The size of a room that has to hold this much: a quarter more.
    pub fn with_reserve(self) -> Self {
        let places = reserve(self.places, LEAST, MOST);
        let least = places * LINES_EACH;
        let lines = reserve(self.lines, LEAST * LINES_EACH, MOST_LINES).max(least);
        Self { places, lines }
    }

    /// The larger one of both, in places and in lines.
    pub fn max(self, other: Self) -> Self {
        Self {
            places: self.places.max(other.places),
            lines: self.lines.max(other.lines),
        }
    }

    /// The kernel memory that the room takes, in bytes.
    pub fn bytes(self, cpus: u32) -> u64 {
        let in_hash = size_of::<ServiceKey>() + size_of::<Value>() + HASH_ENTRY;
        let place = size_of::<Entry>() + size_of::<Counters>() * (cpus as usize + 4) + in_hash;
        let lines = u64::from(self.lines) * size_of::<RosterLine>() as u64;
        u64::from(self.places) * place as u64 + lines
    }
}

fn reserve(needed: u32, step: u32, most: u32) -> u32 {
    let needed = needed.min(most);
    (needed + needed / 4)
        .next_multiple_of(step)
        .clamp(step, most)
}

/// What the kernel adds to an entry of a hash map, and its bucket.
const HASH_ENTRY: usize = 64;

/// A room's maps, as the kernel has them.
pub struct RoomMaps {
    /// One entry for each server.
    pub servers: Mapped<Entry>,
    /// For each server, a row for each CPU and one for earlier rooms.
    pub counters: Mapped<Counters>,
    /// A row for each service.
    pub retired: Mapped<Counters>,
    /// Two rows for each place: one for a server, one for a service.
    pub zeros: Mapped<Counters>,
    /// Lines of rosters.
    pub rosters: Mapped<RosterLine>,
    /// Services by their keys.
    pub services: BpfHashMap<MapData, ServiceKey, Value>,
}

impl RoomMaps {
    /// The maps that an object was loaded with.
    pub fn of(ebpf: &mut Ebpf) -> Result<Self> {
        Self::by(|name| {
            ebpf.take_map(name)
                .ok_or_else(|| anyhow!("the eBPF object has no map `{name}`"))
        })
    }

    /// The maps that are pinned in a folder, for those who only look.
    pub fn seen(map: impl FnMut(&str) -> Result<Map>) -> Result<Self> {
        let maps = Self::by(map)?;
        Ok(Self {
            servers: maps.servers.frozen(),
            counters: maps.counters.frozen(),
            retired: maps.retired.frozen(),
            zeros: maps.zeros.frozen(),
            rosters: maps.rosters.frozen(),
            services: maps.services,
        })
    }

    fn by(mut map: impl FnMut(&str) -> Result<Map>) -> Result<Self> {
        Ok(Self {
            servers: Mapped::new("servers", &map("servers")?)?,
            counters: Mapped::new("counters", &map("counters")?)?,
            retired: Mapped::new("retired", &map("retired")?)?,
            zeros: Mapped::new("zeros", &map("zeros")?)?,
            rosters: Mapped::new("rosters", &map("rosters")?)?,
            services: BpfHashMap::try_from(map("services")?)?,
        })
    }
}

/// The counters of a room that is pinned in this folder, and the number of its servers.
pub fn counters_pinned_at(folder: &Path) -> Result<(Mapped<Counters>, u32)> {
    let map = |name: &str| {
        let path = folder.join(name);
        MapData::from_pin(&path)
            .map(Map::Array)
            .with_context(|| format!("cannot open the pinned map {}", path.display()))
    };
    let servers = Mapped::<Entry>::new("servers", &map("servers")?)?.entries();
    Ok((Mapped::new("counters", &map("counters")?)?, servers))
}

/// Waits until the program that was replaced handles no packet any more.
pub fn let_packets_pass() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: no memory of ours is involved.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        // Kernels with CPUs without timer interrupts (`nohz_full`) refuse it.
        thread::sleep(GRACE);
    }
}

/// Far longer than a program takes for a packet.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_a_reserve_and_limits() {
        let places = |needed| Size::of_places(needed).places;
        assert_eq!(places(0), LEAST);
        assert_eq!(places(LEAST), 2 * LEAST);
        assert_eq!(places(100_000), 131_072);
        assert_eq!(places(u32::MAX), MOST);
        let (places, lines) = (u32::MAX, u32::MAX);
        let most = Size { places, lines }.with_reserve();
        assert_eq!((most.places, most.lines), (MOST, MOST_LINES));
    }

    #[test]
    fn rosters_with_tables_need_lines_and_no_more_places() {
        let without = Size::of_places(1000);
        assert_eq!(without.lines, 4 * without.places);
        // A thousand services whose scheduler has a table of 256 lines.
        let (places, lines) = (1000, 1000 * (2 + 256));
        let with = Size { places, lines }.with_reserve();
        assert_eq!(with.places, without.places);
        assert!(with.lines >= lines + lines / 4);
        assert!(with.bytes(64) < without.bytes(64) * 2);
    }
}
