//! Names of hosts and ports, both ways.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use dns_lookup::{AddrInfoHints, SockType, getaddrinfo, getnameinfo};

use crate::ipvs::Transport;

/// Where names are looked up. IPv6 addresses have none here.
pub trait Names {
    /// The address of a host.
    fn address(&self, host: &str) -> Option<Ipv4Addr>;
    /// The port that a name stands for.
    fn port_of(&self, name: &str, transport: Transport) -> Option<u16>;
    /// The name of a host.
    fn host(&self, address: Ipv4Addr) -> Option<String>;
    /// The name of a port.
    fn port(&self, port: u16, transport: Transport) -> Option<String>;
}

/// This machine's resolver; what was found once is not looked up again.
#[derive(Default)]
pub struct Resolver {
    hosts: RefCell<HashMap<Ipv4Addr, Option<String>>>,
    ports: RefCell<HashMap<(u16, Transport), Option<String>>>,
}

impl Names for Resolver {
    fn address(&self, host: &str) -> Option<Ipv4Addr> {
        let hints = AddrInfoHints {
            address: libc::AF_INET,
            socktype: SockType::Stream.into(),
            ..AddrInfoHints::default()
        };
        let found = getaddrinfo(Some(host), None, Some(hints)).ok()?;
        found
            .filter_map(Result::ok)
            .find_map(|info| match info.sockaddr.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
    }

    fn port_of(&self, name: &str, transport: Transport) -> Option<u16> {
        let socktype = match transport {
            Transport::Tcp => SockType::Stream,
            Transport::Udp => SockType::DGram,
            // The resolver knows no names of its ports.
            Transport::Sctp => return None,
        };
        let hints = AddrInfoHints {
            address: libc::AF_INET,
            socktype: socktype.into(),
            ..AddrInfoHints::default()
        };
        let mut found = getaddrinfo(None, Some(name), Some(hints)).ok()?;
        Some(found.next()?.ok()?.sockaddr.port())
    }

    fn host(&self, address: Ipv4Addr) -> Option<String> {
        let look_up = || {
            let socket = SocketAddr::new(address.into(), 0);
            let (host, _) = getnameinfo(&socket, libc::NI_NAMEREQD).ok()?;
            Some(host)
        };
        let mut hosts = self.hosts.borrow_mut();
        hosts.entry(address).or_insert_with(look_up).clone()
    }

    fn port(&self, port: u16, transport: Transport) -> Option<String> {
        let datagrams = match transport {
            Transport::Tcp => 0,
            Transport::Udp => libc::NI_DGRAM,
            Transport::Sctp => return None,
        };
        let look_up = || {
            let socket = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            let (_, name) = getnameinfo(&socket, libc::NI_NUMERICHOST | datagrams).ok()?;
            (name.parse() != Ok(port)).then_some(name)
        };
        let mut ports = self.ports.borrow_mut();
        ports
            .entry((port, transport))
            .or_insert_with(look_up)
            .clone()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The machine on which the captures were made.
    pub struct Captured;

    const HOSTS: [(&str, [u8; 4]); 5] = [
        ("localhost", [127, 0, 0, 1]),
        ("a-name-that-is-thirty-five-letters-x", [10, 9, 9, 7]),
        (
            "a-host-name-that-is-really-very-long.example.com",
            [10, 9, 9, 8],
        ),
        ("web7.example.com", [10, 2, 0, 7]),
        ("web7", [10, 2, 0, 7]),
    ];

    const PORTS: [(&str, u16, Transport); 6] = [
        ("http", 80, Transport::Tcp),
        ("https", 443, Transport::Tcp),
        ("http-alt", 8080, Transport::Tcp),
        ("domain", 53, Transport::Tcp),
        ("domain", 53, Transport::Udp),
        ("https", 443, Transport::Udp),
    ];

    impl Names for Captured {
        fn address(&self, host: &str) -> Option<Ipv4Addr> {
            let found = HOSTS.iter().find(|(name, _)| *name == host);
            found.map(|(_, address)| Ipv4Addr::from(*address))
        }

        fn port_of(&self, name: &str, transport: Transport) -> Option<u16> {
            let found = PORTS.iter().find(|(n, _, t)| *n == name && *t == transport);
            found.map(|(_, port, _)| *port)
        }

        fn host(&self, address: Ipv4Addr) -> Option<String> {
            let found = HOSTS.iter().find(|(_, a)| Ipv4Addr::from(*a) == address);
            found.map(|(name, _)| (*name).to_owned())
        }

        fn port(&self, port: u16, transport: Transport) -> Option<String> {
            let found = PORTS.iter().find(|(_, p, t)| *p == port && *t == transport);
            found.map(|(name, ..)| (*name).to_owned())
        }
    }

    #[test]
    fn this_machine_knows_itself_and_the_usual_ports() {
        let names = Resolver::default();
        assert_eq!(names.address("localhost"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(names.port(1, Transport::Sctp), None);
        assert_eq!(names.port(65_535, Transport::Tcp), None);
        assert_eq!(names.address("nosuch.invalid"), None);
    }
}
