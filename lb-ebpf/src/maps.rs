//! All maps. Their names are the names of their pins; `lb-common` describes their entries. The
//! daemon overrides the sizes that are marked "set at load".

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use lb_common::{
    drops::Drop,
    layout::{
        self,
        interface::{ClientHop, Station},
        slot::Bucket,
    },
    passes::Pass,
    schedule, server, service,
};

/// The connection table. Set at load. The daemon maps it too, and removes expired connections.
#[map(name = "connections")]
pub static CONNECTIONS: Array<Bucket> = Array::with_max_entries(8, BPF_F_MMAPABLE);

/// Real servers. Set at load.
#[map(name = "servers")]
pub static SERVERS: Array<server::Server> = Array::with_max_entries(8, BPF_F_MMAPABLE);

/// A [`server::Load`] for each real server.
#[map(name = "loads")]
pub static LOADS: Array<[u64; server::MOST_SERVERS as usize]> =
    Array::with_max_entries(1, BPF_F_MMAPABLE);

/// For each CPU a row with an entry for each real server. An array rather than a per-CPU
/// array, so that the daemon reads it without a system call. Set at load.
#[map(name = "counters")]
pub static COUNTERS: Array<server::Counters> = Array::with_max_entries(8, BPF_F_MMAPABLE);

/// Virtual services. Set at load.
#[map(name = "services")]
pub static SERVICES: HashMap<service::ServiceKey, service::Service> =
    HashMap::with_max_entries(8, 0);

/// Rosters: what schedulers read. Set at load.
#[map(name = "rosters")]
pub static ROSTERS: Array<schedule::RosterLine> = Array::with_max_entries(8, BPF_F_MMAPABLE);

/// For each service, what its removed servers have counted. Only the daemon reads and writes
/// it; it is a map so that it outlives the daemon. Set at load.
#[map(name = "retired")]
pub static RETIRED: Array<server::Counters> = Array::with_max_entries(8, BPF_F_MMAPABLE);

/// What a server or a service had counted when `ipvsadm -Z` last zeroed its counters. Only the
/// daemon reads and writes it. Set at load.
#[map(name = "zeros")]
pub static ZEROS: Array<server::Counters> = Array::with_max_entries(8, BPF_F_MMAPABLE);

/// The director's settings, addresses and interfaces: the map `settings`. As the section `.bss`
/// it is an array map of one entry for the kernel, which the daemon makes beforehand, and a
/// variable for the program, which costs no lookup.
#[unsafe(no_mangle)]
// SAFETY: integers and arrays of them.
pub static mut BALANCER: layout::Balancer = unsafe { core::mem::zeroed() };

/// Packets dropped, by [`Drop`].
#[map(name = "drops")]
pub static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Drop::ALL.len() as u32, 0);

/// Packets to services that were left to the kernel's network stack, by [`Pass`].
#[map(name = "passes")]
pub static PASSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Pass::ALL.len() as u32, 0);

/// Addresses that no client can have: the director's own, broadcast addresses of its networks, and
/// VIPs; as on the wire. The values mean nothing.
#[map(name = "own")]
pub static OWN: HashMap<u32, u8> = HashMap::with_max_entries(1 << 17, BPF_F_NO_PREALLOC);

/// MAC addresses that an interface takes frames for besides the one at its place. The values mean
/// nothing.
#[map(name = "stations")]
pub static STATIONS: HashMap<Station, u8> = HashMap::with_max_entries(1 << 14, BPF_F_NO_PREALLOC);

/// Next hops on the way to clients of NAT services, each with the tick when the kernel was asked
/// for it last. The daemon keeps their MAC addresses fresh: packets that the program forwards do
/// not. If there are more, those that were asked for longest ago are forgotten.
#[map(name = "hops")]
pub static HOPS: LruHashMap<ClientHop, u32> = LruHashMap::with_max_entries(1024, 0);

/// Packets that were sent and lost, by the index of the interface that they were to leave by: see
/// [`unsent`](crate::unsent). It lives as long as the daemon.
#[map(name = "unsent")]
pub static UNSENT: HashMap<u32, u64> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);

/// The interfaces whose packets the director handles, by index. The values mean nothing.
#[map(name = "watched")]
pub static WATCHED: HashMap<u32, u8> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);

/// The kernel's number of the program that handles them. The values mean nothing.
#[map(name = "own_programs")]
pub static OWN_PROGRAMS: HashMap<u32, u8> = HashMap::with_max_entries(8, BPF_F_NO_PREALLOC);

/// When a drop for each reason was last logged, in ticks.
#[map(name = "logged")]
pub static LOGGED: Array<u32> = Array::with_max_entries(Drop::ALL.len() as u32, 0);

/// How many ICMP errors each CPU sent in its latest tick.
#[map(name = "icmp_sent")]
pub static ICMP_SENT: PerCpuArray<layout::ErrorsSent> = PerCpuArray::with_max_entries(1, 0);
