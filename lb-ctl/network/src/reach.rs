//! The answer: how an address is reached.

use std::{fmt, net::Ipv4Addr};

/// How an address is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The address is one of this machine's own.
    Local,
    /// Through a next hop on an Ethernet interface.
    Hop(Hop),
    /// There is a route, but the next hop has not answered ARP (yet).
    Unresolved {
        /// Index of the interface that the route leaves by.
        interface: u32,
        /// Its name.
        interface_name: String,
        /// The one who should answer: the gateway, or the address itself.
        next_hop: Ipv4Addr,
    },
    /// It cannot be reached; the reason, for people to read.
    None(String),
}

impl Reach {
    /// False if packets to the address cannot be sent now.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Local | Self::Hop(_))
    }
}

/// The next hop of packets to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Index of the interface to leave by.
    pub interface: u32,
    /// Its name.
    pub interface_name: String,
    /// The kind of device, as in [`Interface::kind`](super::Interface::kind).
    pub kind: String,
    /// Its MAC address.
    pub source_mac: [u8; 6],
    /// The MAC address of the next hop.
    pub next_hop_mac: [u8; 6],
    /// Largest IP packet that the interface and the route take, in bytes. Results of path MTU
    /// discovery are left out, because the kernel does not announce when they expire.
    pub mtu: u16,
    /// The address that the kernel would send from; 0.0.0.0 if this machine has none for it.
    pub source: Ipv4Addr,
    /// The gateway, or the address itself.
    pub next_hop: Ipv4Addr,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("on this machine"),
            Self::Hop(hop) => {
                let [a, b, c, d, e, g] = hop.next_hop_mac;
                write!(
                    f,
                    "by {} through {} at {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}",
                    hop.interface_name, hop.next_hop
                )
            }
            Self::Unresolved {
                interface_name,
                next_hop,
                ..
            } => write!(f, "{next_hop} does not answer ARP on {interface_name}"),
            Self::None(why) => f.write_str(why),
        }
    }
}
