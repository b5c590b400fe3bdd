//! What is pinned, under which layout, and what both halves must agree on.
//!
//! Types in maps have spare fields for planned features, so that these need no new layout. Spare
//! fields are zero, and nothing reads them: see [`Service`](crate::service::Service) (flags,
//! persistence, local addresses), [`ServiceKey`](crate::service::ServiceKey) (firewall marks),
//! [`Server`](crate::server::Server) (IPv6, thresholds, tunnels),
//! [`Scheduler::roster_lines`](crate::schedule::Scheduler::roster_lines) (tables of schedulers)
//! and [`address_filter::ALL_IN_WORD`] (rules with prefixes).

pub mod interface;
pub mod key;
pub mod slot;
pub mod wide;
pub mod word;

use self::interface::{INTERFACES, Interface};
use crate::{
    address_filter,
    server::Counters,
    state::{time::TICK_SHIFT, timeouts::Timeouts},
    table::places::Hash,
};

/// Version of everything in this crate that is stored in a map. Pins of another version are
/// not adopted.
pub const LAYOUT: u32 = 8;

/// Where the kernel keeps what tells whose packets were lost, in bytes from the beginning of a
/// structure. The daemon finds it in the kernel's type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Offsets {
    /// `net_device.ifindex`.
    pub device_index: u32,
    /// `net_device.nd_net`, a pointer to a `net`.
    pub device_net: u32,
    /// `net.net_cookie`.
    pub net_cookie: u32,
    /// `bpf_prog.aux`, a pointer to a `bpf_prog_aux`.
    pub program_aux: u32,
    /// `bpf_prog_aux.id`.
    pub aux_id: u32,
    /// The network namespace that the director is in: as [`Settings::namespace`].
    pub namespace: u32,
}

impl Offsets {
    /// Nothing is known.
    pub const NONE: Self = Self {
        device_index: 0,
        device_net: 0,
        net_cookie: 0,
        program_aux: 0,
        aux_id: 0,
        namespace: 0,
    };
}

/// The one entry of the map `settings`, which is the XDP program's only variable.
#[repr(C)]
pub struct Balancer {
    /// What may change while the program runs.
    pub settings: Settings,
    /// Marks of the addresses that concern the director: see [`address_filter`].
    pub addresses: [u64; address_filter::WORDS as usize],
    /// Its interfaces, each at a [`place`](interface::places) of its index.
    pub interfaces: [Interface; INTERFACES as usize],
    /// The daemon's note of the counters that it is adding to a service's.
    pub moving: Moving,
    /// Which server's connections are being counted anew.
    pub recount: Recount,
}

/// A server whose connections are being counted anew: see [`crate::table::recount`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Recount {
    /// The server's index, plus one; 0 where none is counted.
    pub server: u32,
    /// Zero.
    pub _pad: u32,
    /// Its connections so far: a [`Load`](crate::server::Load).
    pub tally: u64,
}

/// The daemon's note that it adds a removed server's counters to its service's. A daemon that
/// starts after a crash finishes what the note says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Moving {
    /// What will be in the service's row of the map `retired`.
    pub total: Counters,
    /// The row.
    pub service: u32,
    /// The server's index, plus one; 0 if there is nothing to move.
    pub server: u32,
}

/// What may change while the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// [`LAYOUT`]; 0 in a new map.
    pub layout: u32,
    /// Goes up with every change of a route or a neighbour. A connection stores the lower 16
    /// bits with its next hop; if they differ, the program asks for the next hop again.
    pub route_epoch: u32,
    /// By state, in ticks.
    pub timeouts: Timeouts,
    /// The hash function of the connection table. The program has a constant copy of it.
    pub hash: Hash,
    /// The network namespace that the interfaces are in: the lower half of its cookie. 0 if it
    /// is not known.
    pub namespace: u32,
    /// The number of connections that was asked for.
    pub connections: u32,
    /// Jiffies in a second.
    pub hz: u32,
    /// ICMP errors that one CPU may send in a tick.
    pub errors_per_tick: u32,
    /// Written by the program `clock`: one moment by both clocks.
    pub clock: Moment,
}

/// A moment by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Moment {
    /// The kernel's 64-bit jiffies.
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC_COARSE`, in nanoseconds.
    pub nanoseconds: u64,
}

impl Settings {
    /// Sets how many jiffies a second has, and all that follows from it.
    pub const fn set_hz(&mut self, hz: u32) {
        /// In a second, as the kernel's default of `net.ipv4.icmp_msgs_per_sec`.
        const ERRORS: u32 = 1000;
        self.hz = hz;
        let per_tick = ((ERRORS as u64) << TICK_SHIFT) / hz as u64;
        self.errors_per_tick = if per_tick > 0 { per_tick as u32 } else { 1 };
    }
}

const _: () = assert!(size_of::<Settings>() == 592);
const _: () = assert!(size_of::<Moving>() == 48 && size_of::<Recount>() == 16);

/// How many ICMP errors one CPU sent in a tick: an entry of the map `icmp_sent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ErrorsSent {
    /// The tick.
    pub tick: u32,
    /// How many.
    pub errors: u32,
}

/// Constants of the program, set when it is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Constants {
    /// The connection table's hash function and size.
    pub hash: Hash,
    /// Entries of the map `servers`.
    pub servers: u32,
    /// Zero.
    pub _pad: u32,
}
