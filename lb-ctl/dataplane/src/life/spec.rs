//! What a packet path is to be made with, before anything of it is in the kernel.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use lb_common::{
    layout::{LAYOUT, Settings, slot::Bucket},
    state::timeouts::{DEFAULT_TIMEOUTS, Timeouts},
    table::places::{Hash, buckets_for},
};

use super::{load::cpus, room};
use crate::kernel::{clock, namespace};

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

/// The settings that a new packet path begins with. Its hash function is drawn at random.
pub fn fresh(size: Size) -> Result<Settings> {
    let mut random = [0; 32];
    let mut source = fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    source
        .read_exact(&mut random)
        .context("cannot read /dev/urandom")?;
    let long = |i: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&random[8 * i..8 * i + 8]);
        u64::from_ne_bytes(bytes)
    };
    let hz = clock::hz()?;
    let mut settings = Settings {
        layout: LAYOUT,
        timeouts: Timeouts::of(&DEFAULT_TIMEOUTS, hz),
        hash: Hash {
            addends: [long(0), long(1), long(2), long(3)],
            buckets: buckets_for(size.connections),
            _pad: 0,
        },
        connections: size.connections,
        namespace: namespace::current()?,
        ..Settings::default()
    };
    settings.set_hz(hz);
    Ok(settings)
}

/// Refuses tables that would make the machine swap, or run out of memory.
pub fn check_memory(settings: &Settings, room: room::Size, available: u64) -> Result<()> {
    let table = u64::from(settings.hash.buckets) * size_of::<Bucket>() as u64;
    let loads = u64::from(room::MOST) * size_of::<u64>() as u64;
    let needed = table + loads + room.bytes(cpus()?);
    if needed > most(available) {
        bail!(
            "connections: {} takes {} MiB of memory, and of this machine's memory {} MiB are \
             available; ask for fewer (each takes {} bytes)",
            settings.connections,
            needed >> 20,
            available >> 20,
            table / u64::from(settings.connections.max(1))
        );
    }
    Ok(())
}

/// Refuses a larger room that would.
pub fn check_memory_of_room(room: room::Size, available: u64) -> Result<()> {
    let needed = room.bytes(cpus()?);
    if needed > most(available) {
        bail!(
            "room for {} servers takes {} MiB of memory, and of this machine's memory {} \
             MiB are available; have fewer servers",
            room.places,
            needed >> 20,
            available >> 20,
        );
    }
    Ok(())
}

/// A quarter is left for everybody else.
fn most(available: u64) -> u64 {
    available / 4 * 3
}

/// How much memory is available, in bytes.
pub fn available_memory() -> Result<u64> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).context("cannot read /proc/meminfo")?;
    text.lines()
        .find_map(|line| {
            let rest = line.strip_prefix("MemAvailable:")?.trim();
            rest.strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map(|kib| kib << 10)
        .ok_or_else(|| anyhow!("/proc/meminfo does not say MemAvailable"))
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
