//! Neighbours: who has which MAC address on which interface.

use std::net::Ipv4Addr;

use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

/// The next machine on a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NextHop {
    /// Index of the interface.
    pub interface: u32,
    /// The gateway, or the destination itself.
    pub address: Ipv4Addr,
}

/// The kernel's entry for a next hop. The default says that it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// Its last known MAC address.
    mac: Option<[u8; 6]>,
    state: NeighbourState,
}

/// How far a [`Neighbour`] is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its MAC address is known and in use.
    Usable,
    /// It was set by hand or by the driver: must not be changed.
    Fixed,
    /// The kernel has sent ARP requests and waits for an answer. A MAC address that was known
    /// before stays in use.
    Asked,
    /// The kernel has no entry, or the neighbour did not answer.
    Unknown,
}

impl Neighbour {
    pub(crate) fn standing(&self) -> Standing {
        match self.state {
            NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay => {
                Standing::Usable
            }
            NeighbourState::Permanent | NeighbourState::Noarp => Standing::Fixed,
            NeighbourState::Probe | NeighbourState::Incomplete => Standing::Asked,
            _ => Standing::Unknown,
        }
    }

    /// The MAC address to send to.
    pub(crate) fn mac(&self) -> Option<[u8; 6]> {
        match self.state {
            NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp => self.mac,
            _ => None,
        }
    }

    /// From a message about an IPv4 neighbour. `None` for other messages of the same type: those
    /// about a bridge's forwarding table, and about proxy entries.
    pub(crate) fn from_message(message: &NeighbourMessage) -> Option<(NextHop, Self)> {
        let header = &message.header;
        if header.family != AddressFamily::Inet || header.flags.contains(NeighbourFlags::Proxy) {
            return None;
        }
        let mut address = None;
        let mut mac = None;
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(destination)) => {
                    address = Some(*destination);
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => {
                    mac = bytes.as_slice().try_into().ok();
                }
                _ => {}
            }
        }
        let hop = NextHop {
            interface: header.ifindex,
            address: address?,
        };
        let state = header.state;
        Some((hop, Self { mac, state }))
    }

    #[cfg(test)]
    pub(crate) fn new(state: NeighbourState, mac: [u8; 6]) -> Self {
        let mac = Some(mac);
        Self { mac, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_that_does_not_answer_has_no_mac_address_to_send_to() {
        let mac = [2, 0, 0, 0, 0, 1];
        let usable = [
            NeighbourState::Reachable,
            NeighbourState::Stale,
            NeighbourState::Delay,
            NeighbourState::Probe,
            NeighbourState::Permanent,
            NeighbourState::Noarp,
        ];
        for state in usable {
            assert_eq!(Neighbour::new(state, mac).mac(), Some(mac), "{state}");
        }
        let unusable = [
            NeighbourState::Incomplete,
            NeighbourState::Failed,
            NeighbourState::None,
        ];
        for state in unusable {
            assert_eq!(Neighbour::new(state, mac).mac(), None, "{state}");
        }
        assert_eq!(Neighbour::default().standing(), Standing::Unknown);
    }
}
