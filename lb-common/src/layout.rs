//! What is pinned, under which layout, and what both halves must agree on.

use crate::{
    address_filter,
    connection::{Hash, TICK_SHIFT, Timeouts},
    server::Counters,
};

/// Version of everything in this crate that lies in a map. Pins of another version are
/// not adopted.
pub const LAYOUT: u32 = 5;

/// The one entry of the map `settings`, the program's only variable: what the director is.
#[repr(C)]
pub struct Director {
    /// What may change while the program runs.
    pub settings: Settings,
    /// Marks of the addresses that concern the director: see [`address_filter`].
    pub addresses: [u64; address_filter::WORDS as usize],
    /// Its interfaces: each stands at the lower 16 bits of its index.
    pub ports: [Port; PORTS as usize],
    /// What the daemon is about to do.
    pub moving: Moving,
}

/// The daemon's note that what a server counted goes to its service, so that whoever starts
/// after a crash in the middle of it can finish it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Moving {
    /// What the service's row in the map `retired` is to be.
    pub total: Counters,
    /// The row.
    pub service: u32,
    /// The server's index, plus one; 0 says that nothing is about to be moved.
    pub server: u32,
}

/// What may change while the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// [`LAYOUT`]; 0 in a map that was just made.
    pub layout: u32,
    /// Goes up whenever a route or a neighbour changed: next hops that connections
    /// remember under another epoch (its lower 16 bits) are looked up anew.
    pub route_epoch: u32,
    /// By state, in ticks.
    pub timeouts: Timeouts,
    /// How the connection table was made. The program has its own, constant copy.
    pub hash: Hash,
    /// CRC-32 of the daemon's file as it was when the director last did what it says. Live edits
    /// may have come since. 0 while that file is being applied.
    pub file: u32,
    /// Capacity that was asked for.
    pub connections: u32,
    /// Jiffies in a second.
    pub hz: u32,
    /// ICMP errors that one CPU may send in a tick.
    pub errors_per_tick: u32,
    /// Written by the program `clock`: the same moment by both clocks.
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
    /// What the kernel's number of jiffies in a second implies.
    pub const fn set_hz(&mut self, hz: u32) {
        /// As many in a second as the kernel sends (`net.ipv4.icmp_msgs_per_sec`).
        const ERRORS: u32 = 1000;
        self.hz = hz;
        let per_tick = ((ERRORS as u64) << TICK_SHIFT) / hz as u64;
        self.errors_per_tick = if per_tick > 0 { per_tick as u32 } else { 1 };
    }
}

/// An Ethernet interface of the director.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Port {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Zero.
    pub _zero: [u8; 2],
    /// Index of the interface; 0 where there is none.
    pub interface: u32,
    /// Zero.
    pub _pad: [u8; 4],
}

const _: () = assert!(size_of::<Port>() == 16 && size_of::<Settings>() == 144);
const _: () = assert!(size_of::<Moving>() == 48);

/// Places for interfaces.
pub const PORTS: u32 = 1 << 16;

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
