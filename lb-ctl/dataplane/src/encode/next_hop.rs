//! The next hop in a server's entry, and this machine's interfaces.

use lb_common::{
    layout::interface::{Interface as Place, Station},
    server::{SERVER_LOCAL, SERVER_REACHABLE, Server as Entry},
};

use super::wire::address;
use crate::next_hop::{Hop, Interface, NextHop};

/// Writes a next hop into a server's entry. What is not known overwrites nothing: a daemon that
/// starts finds there how the server was reached last.
pub fn set_next_hop(entry: &mut Entry, next_hop: &NextHop) {
    entry.flags &= !(SERVER_REACHABLE | SERVER_LOCAL);
    match next_hop {
        NextHop::Unknown => {}
        NextHop::Local => entry.flags |= SERVER_LOCAL,
        NextHop::Ethernet(hop) => {
            let &Hop {
                interface,
                source_mac: [g, h, i, j, k, l],
                next_hop_mac: [a, b, c, d, e, f],
                mtu,
                source,
            } = hop;
            entry.flags |= SERVER_REACHABLE;
            entry.ethernet = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes);
            entry.interface = interface;
            entry.mtu = mtu;
            entry.tunnel_source = u32::from_ne_bytes(source.octets());
        }
    }
}

/// The next hop in a server's entry.
pub fn next_hop(entry: &Entry) -> NextHop {
    if entry.flags & SERVER_LOCAL != 0 {
        return NextHop::Local;
    }
    if entry.flags & SERVER_REACHABLE == 0 {
        return NextHop::Unknown;
    }
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l]] = entry.ethernet.map(u32::to_ne_bytes);
    NextHop::Ethernet(Hop {
        interface: entry.interface,
        source_mac: [g, h, i, j, k, l],
        next_hop_mac: [a, b, c, d, e, f],
        mtu: entry.mtu,
        source: address(entry.tunnel_source),
    })
}

/// An interface.
pub fn interface(interface: &Interface) -> Place {
    let &Interface {
        index,
        mac,
        mtu,
        takes_for: _,
    } = interface;
    Place {
        index,
        mac,
        mtu,
        ..Place::default()
    }
}

/// A MAC address that an interface takes frames for.
pub fn station(interface: u32, mac: [u8; 6]) -> Station {
    Station {
        mac,
        interface,
        ..Station::default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_next_hop_comes_back_as_it_was_written(
            interface in any::<u32>(),
            source_mac in any::<[u8; 6]>(),
            next_hop_mac in any::<[u8; 6]>(),
            mtu in any::<u16>(),
            source in any::<Ipv4Addr>(),
        ) {
            let hop = Hop { interface, source_mac, next_hop_mac, mtu, source };
            let mut entry = Entry::default();
            for wanted in [NextHop::Ethernet(hop), NextHop::Local, NextHop::Unknown] {
                set_next_hop(&mut entry, &wanted);
                prop_assert_eq!(next_hop(&entry), wanted);
            }
        }
    }
}
