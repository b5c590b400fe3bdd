//! Real servers, as the XDP program sees them.

use core::mem::offset_of;

use crate::numbered::numbered;

numbered! {
    /// How packets reach the server. The numbers are IPVS's (`IP_VS_CONN_F_*`).
    pub enum Method: u8 {
        /// Destination address and port are rewritten; replies pass the director.
        Nat = 0,
        /// The packet travels inside another IP packet (IPIP, RFC 2003).
        Tun = 2,
        /// Only the MAC addresses change.
        Dr = 3,
    }
}

/// The server belongs to its service. Without this flag: it was removed, but connections may
/// still refer to it.
pub const SERVER_AVAILABLE: u8 = 1;
/// `ethernet`, `interface` and `mtu` are valid.
pub const SERVER_REACHABLE: u8 = 2;
/// The address is the director's own: packets go to the local stack.
pub const SERVER_LOCAL: u8 = 4;

/// An entry of the map `servers`: two cache lines.
///
/// The first has all that an IPv4 packet of a known connection needs; such packets must not
/// touch the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Server {
    /// The Ethernet addresses to send with, destination then source, as on the wire.
    pub ethernet: [u32; 3],
    /// Index of the interface to send by.
    pub interface: u32,
    /// The server's IPv4 address (RIP), as on the wire.
    pub address: u32,
    /// Outer source address for TUN, as on the wire.
    pub tunnel_source: u32,
    /// The service's IPv4 address (VIP), as on the wire.
    pub service_address: u32,
    /// The service's port, as on the wire.
    pub service_port: u16,
    /// The server's port, as on the wire; differs from the service's under NAT only.
    pub port: u16,
    /// The largest IP packet that the interface takes, in bytes.
    pub mtu: u16,
    /// Number of a [`Method`].
    pub method: u8,
    /// `SERVER_*`.
    pub flags: u8,
    /// The service's IP protocol number; 0 if the entry is not in use.
    pub protocol: u8,
    /// Zero.
    pub _pad: [u8; 3],
    /// Index of the service's row in the map `retired`.
    pub service: u32,
    /// Zero.
    pub _reserved: [u32; 5],
    /// The second line. Zero. Room for IPv6 (RIP and outer source: 32 bytes), thresholds (upper
    /// and lower: 8 bytes) and tunnels (kind, flags and port: 4 bytes).
    pub _second_line: [u32; 16],
}

const _: () = assert!(size_of::<Server>() == 128 && offset_of!(Server, _second_line) == 64);

/// An entry of the map `counters`: the traffic of one server on one CPU.
///
/// Bytes are those of IP packets, as in IPVS: Ethernet headers do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Connections opened.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients, where they pass the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients, where they pass the director.
    pub out_bytes: u64,
}

const _: () = assert!(size_of::<Counters>() == 40);

impl core::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            in_packets: self.in_packets + other.in_packets,
            out_packets: self.out_packets + other.out_packets,
            in_bytes: self.in_bytes + other.in_bytes,
            out_bytes: self.out_bytes + other.out_bytes,
        }
    }
}

impl core::iter::Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::default(), core::ops::Add::add)
    }
}

/// The most servers that an instance can have. All their loads are one entry of the map
/// `loads`, so that a scheduler needs one lookup for all of them. An entry can have 4 MiB
/// (Linux 6.1).
pub const MOST_SERVERS: u32 = 1 << 19;

/// How many connections a server has. It is stored as one 64-bit word, active in the lower
/// half, inactive in the upper, so that a transition is one atomic addition. The one entry of
/// the map `loads` has [`MOST_SERVERS`] such words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Load {
    /// Connections in an active state.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

impl Load {
    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            active: bits as u32,
            inactive: (bits >> 32) as u32,
        }
    }

    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.active as u64 | (self.inactive as u64) << 32
    }

    /// What one connection adds to the word, in a state that counts as active or not.
    #[inline(always)]
    #[must_use]
    pub const fn one(active: bool) -> u64 {
        if active { 1 } else { 1 << 32 }
    }

    /// What to add to the word when a connection changes its state.
    #[inline(always)]
    #[must_use]
    pub const fn transition(from_active: bool, to_active: bool) -> u64 {
        Self::one(to_active).wrapping_sub(Self::one(from_active))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_moves_one_connection_between_the_counts() {
        let mut word = 0u64;
        let mut add = |delta| {
            word = word.wrapping_add(delta);
            let Load { active, inactive } = Load::from_bits(word);
            (active, inactive)
        };
        assert_eq!(add(Load::one(true)), (1, 0));
        assert_eq!(add(Load::one(true)), (2, 0));
        assert_eq!(add(Load::transition(true, false)), (1, 1));
        assert_eq!(add(Load::transition(false, true)), (2, 0));
        assert_eq!(add(Load::transition(true, false)), (1, 1));
        assert_eq!(add(Load::one(false).wrapping_neg()), (1, 0));
        assert_eq!(add(Load::one(true).wrapping_neg()), (0, 0));
    }
}
