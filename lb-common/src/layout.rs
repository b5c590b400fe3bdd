//! What is pinned, under which layout, and what both halves must agree on.

use crate::connection::{Hash, Timeouts};

/// Version of everything in this crate that lies in a map. Pins of another version are
/// not adopted.
pub const LAYOUT: u32 = 1;

/// The one entry of the map `settings`.
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
    /// Entries of the map `servers`, and so entries per CPU in `counters`.
    pub servers: u32,
    /// Capacity that was asked for.
    pub connections: u32,
}

/// An entry of the map `ports`: an Ethernet interface of the director. It stands at the
/// lower 16 bits of the interface's index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    /// Index of the interface; 0 where there is none.
    pub interface: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Zero.
    pub _pad: [u8; 6],
}

const _: () = assert!(size_of::<Port>() == 16 && size_of::<Settings>() == 120);

/// Entries of the map `ports`.
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
