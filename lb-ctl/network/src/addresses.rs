//! Addresses of this machine, as the kernel describes them.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

/// An IPv4 address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix, in bits.
    pub prefix: u8,
    /// Index of the interface that it was given to.
    pub interface: u32,
}

impl Address {
    /// From a message about an address; `None` for IPv6.
    pub(crate) fn from_message(message: &AddressMessage) -> Option<Self> {
        let own = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        };
        Some(Self {
            address: message.attributes.iter().find_map(own)?,
            prefix: message.header.prefix_len,
            interface: message.header.index,
        })
    }

    /// The broadcast address of its network (RFC 922); `None` if a network is too small to have
    /// one (RFC 3021).
    #[must_use]
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        (self.prefix < 31).then(|| Ipv4Addr::from_bits(self.address.to_bits() | hosts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_broadcast_address_unless_it_is_too_small() {
        let broadcast = |prefix| {
            let address = Ipv4Addr::new(192, 0, 2, 10);
            Address {
                address,
                prefix,
                interface: 1,
            }
            .broadcast()
        };
        assert_eq!(broadcast(24), Some(Ipv4Addr::new(192, 0, 2, 255)));
        assert_eq!(broadcast(30), Some(Ipv4Addr::new(192, 0, 2, 11)));
        assert_eq!(broadcast(0), Some(Ipv4Addr::BROADCAST));
        assert_eq!([broadcast(31), broadcast(32)], [None, None]);
    }
}
