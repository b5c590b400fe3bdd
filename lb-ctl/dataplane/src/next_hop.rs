//! Where packets go next, as the daemon tells the packet path.

use std::net::Ipv4Addr;

/// How packets leave for a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NextHop {
    /// Not known: packets to the server are dropped.
    #[default]
    Unknown,
    /// The server's address is one of this machine's own: packets go to the local stack.
    Local,
    /// By Ethernet.
    Ethernet(Hop),
}

/// A next hop on an Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Index of the interface to leave by.
    pub interface: u32,
    /// MAC address of that interface.
    pub source_mac: [u8; 6],
    /// MAC address of the next hop.
    pub next_hop_mac: [u8; 6],
    /// Largest IP packet that gets there, in bytes.
    pub mtu: u16,
    /// Source address of the outer header in a tunnel; 0.0.0.0 if this machine has none for it.
    pub source: Ipv4Addr,
}

/// An Ethernet interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Largest IP packet that it takes, in bytes.
    pub mtu: u16,
    /// MAC addresses of interfaces above it, whose frames it receives.
    pub takes_for: Vec<[u8; 6]>,
}
