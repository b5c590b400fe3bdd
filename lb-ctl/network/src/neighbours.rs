//! Neighbours: who has which MAC address on which interface.

use std::net::Ipv4Addr;

use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NextHop {
    /// Index of the interface.
    pub interface: u32,
    /// The gateway, or the destination itself.
    pub address: Ipv4Addr,
}

/// What the kernel has on a next hop. By default, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Neighbour {
    /// As it last was.
    mac: Option<[u8; 6]>,
    state: NeighbourState,
}

/// What can be done with a [`Neighbour`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It can be sent to, until it fails to answer.
    Usable,
    /// What it is was set by hand or by the driver. Not to be touched.
    Fixed,
    /// The kernel waits for its answer, to a first question or (still usable) another.
    Asked,
    /// It is not known, or did not answer.
    Unknown,
}

impl Neighbour {
    pub(super) fn standing(&self) -> Standing {
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
    pub(super) fn mac(&self) -> Option<[u8; 6]> {
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

    /// From a message about an IPv4 neighbour. Bridges' forwarding tables and proxies have
    /// messages of the same type.
    pub(super) fn from_message(message: &NeighbourMessage) -> Option<(NextHop, Self)> {
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
    pub(super) fn new(state: NeighbourState, mac: [u8; 6]) -> Self {
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
