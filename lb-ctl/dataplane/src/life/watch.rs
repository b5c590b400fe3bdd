//! Packets that were sent and then lost, which the kernel tells of by tracepoints. They are counted
//! as long as the daemon runs.

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::HashMap,
    programs::{RawTracePoint, Xdp},
};

use crate::kernel::btf;

/// Programs, and the tracepoints that they belong to.
const PROGRAMS: [(&str, &str); 4] = [
    ("redirect_failed", "xdp_redirect_err"),
    ("action_failed", "xdp_exception"),
    ("redirected", "xdp_devmap_xmit"),
    ("transmitted", "xdp_bulk_tx"),
];

/// Begins to count what this program's packets meet.
pub fn begin(ebpf: &mut Ebpf, director: &str) -> Result<()> {
    // Without it, the programs would not know whose packets were lost.
    btf::offsets()?;
    let program: &Xdp = ebpf.program(director).context("no program")?.try_into()?;
    let id = program.info()?.id();
    set(ebpf, "own_programs", id)?;
    for (name, tracepoint) in PROGRAMS {
        let program = ebpf
            .program_mut(name)
            .ok_or_else(|| anyhow!("the eBPF object has no program `{name}`"))?;
        let program: &mut RawTracePoint = program.try_into()?;
        program
            .load()
            .with_context(|| format!("the kernel refuses the program `{name}`"))?;
        program
            .attach(tracepoint)
            .with_context(|| format!("cannot attach to the tracepoint {tracepoint}"))?;
    }
    Ok(())
}

/// From now on, the program handles the packets of this interface.
pub fn add(ebpf: &mut Ebpf, interface: u32) -> Result<()> {
    set(ebpf, "watched", interface)
}

/// It does not any more.
pub fn remove(ebpf: &mut Ebpf, interface: u32) -> Result<()> {
    let mut watched = map(ebpf, "watched")?;
    // One that is not there was never added.
    let _ = watched.remove(&interface);
    Ok(())
}

/// What was lost: packets by the index of the interface that they were to leave by.
pub fn lost(ebpf: &Ebpf) -> Result<Vec<(u32, u64)>> {
    let map = ebpf.map("unsent").context("no map `unsent`")?;
    let unsent: HashMap<_, u32, u64> = map.try_into()?;
    let all: Result<Vec<_>, _> = unsent.iter().collect();
    all.context("cannot read the map `unsent`")
}

fn set(ebpf: &mut Ebpf, name: &str, number: u32) -> Result<()> {
    let mut map = map(ebpf, name)?;
    map.insert(number, 1, 0)
        .with_context(|| format!("cannot write the map `{name}`"))
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<HashMap<&'a mut aya::maps::MapData, u32, u8>> {
    let map = ebpf.map_mut(name);
    let map = map.with_context(|| format!("the eBPF object has no map `{name}`"))?;
    Ok(map.try_into()?)
}
