//! Loads the programs into the kernel, with maps of the right size: new ones, or pinned ones.

use std::path::Path;

use anyhow::{Result, anyhow};
use aya::{Ebpf, EbpfLoader, programs::Xdp, util::nr_cpus};
use lb_common::{
    layout::{Constants, Offsets},
    table::places::Hash,
};

use super::{object, pins::Pins, room};
use crate::{kernel::btf, maps::variable::Variable};

/// The maps that all rooms share.
pub const MAPS: [&str; 8] = [
    "connections",
    "loads",
    "drops",
    "passes",
    "logged",
    "own",
    "stations",
    "hops",
];

/// Loads the programs. Maps that are pinned, for all rooms or in this room's folder, are used as
/// they are; all others are made and pinned. The room has this size.
pub fn load(pins: &Pins, room: &Path, hash: Hash, size: room::Size) -> Result<Ebpf> {
    let servers = size.places;
    let constants = Constants {
        hash,
        servers,
        _pad: 0,
    };
    let variable = Variable::at(&pins.map("settings"))?;
    // Where it is not known, what would use it is not attached.
    let offsets = btf::offsets().unwrap_or(Offsets::NONE);
    let mut loader = EbpfLoader::new();
    variable.give(&mut loader);
    loader
        .override_global("CONSTANTS", &constants, true)
        .override_global("KERNEL", &offsets, true)
        .map_max_entries("connections", hash.buckets)
        .map_max_entries("servers", servers)
        // A row for each CPU, and one for what earlier rooms counted.
        .map_max_entries("counters", servers * (cpus()? + 1))
        .map_max_entries("services", servers)
        .map_max_entries("rosters", size.lines)
        .map_max_entries("retired", servers)
        .map_max_entries("zeros", 2 * servers);
    for name in MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    pins.make_room(room)?;
    for name in room::MAPS {
        loader.map_pin_path(name, room.join(name));
    }
    let mut ebpf = loader.load(object::DIRECTOR).map_err(explain)?;
    // Before any map is taken out of the object: programs refer to them.
    for name in ["director", "clock", "sweep"] {
        program(&mut ebpf, name)?.load().map_err(|error| {
            anyhow!(error).context(format!(
                "the kernel refuses the XDP program `{name}`; Linux 5.17 or newer is needed, with \
                 CONFIG_BPF_SYSCALL, CONFIG_BPF_JIT and CONFIG_XDP_SOCKETS or its kind",
            ))
        })?;
    }
    Ok(ebpf)
}

/// A program of an object.
pub fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| anyhow!("the eBPF object has no program `{name}`"))?;
    Ok(program.try_into()?)
}

fn explain(error: aya::EbpfError) -> anyhow::Error {
    let refused = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .find_map(std::io::Error::raw_os_error);
    match refused {
        Some(libc::EPERM) => {
            anyhow!("not permitted to use BPF; be root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)")
        }
        Some(libc::ENOMEM) => anyhow!(
            "the kernel has no memory for the maps; ask for fewer `connections`, or raise the \
             memory limit of this control group"
        ),
        _ => anyhow!(error).context("cannot load the packet path into the kernel"),
    }
}

/// How many CPUs the kernel may have, also those that are not there now.
pub fn cpus() -> Result<u32> {
    Ok(nr_cpus().map_err(|(what, error)| anyhow!("cannot count CPUs: {what}: {error}"))? as u32)
}
