//! Names of hosts and ports, both ways.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use dns_lookup::{AddrInfoHints, SockType, getaddrinfo, getnameinfo};

use lb_model::Protocol;

/// Where names are looked up. ipvsadm looks up no names of IPv6 addresses.
pub trait Names {
    /// The address of a host.
    fn address(&self, host: &str) -> Option<Ipv4Addr>;
    /// The port that a name stands for.
    fn port_of(&self, name: &str, protocol: Protocol) -> Option<u16>;
    /// The name of a host.
    fn host(&self, address: Ipv4Addr) -> Option<String>;
    /// The name of a port.
    fn port(&self, port: u16, protocol: Protocol) -> Option<String>;
}

/// This machine's resolver. It keeps what it has found.
#[derive(Default)]
pub struct Resolver {
    hosts: RefCell<HashMap<Ipv4Addr, Option<String>>>,
    ports: RefCell<HashMap<(u16, Protocol), Option<String>>>,
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

    fn port_of(&self, name: &str, protocol: Protocol) -> Option<u16> {
        // Every name of a port has a letter (RFC 6335). The resolver takes what has none for a
        // number, and of a number above 65535 the lowest 16 bits: 65616 would be port 80.
        if !name.contains(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let socktype = match protocol {
            Protocol::Tcp => SockType::Stream,
            Protocol::Udp => SockType::DGram,
            // The resolver has no names for ports of SCTP.
            Protocol::Sctp => return None,
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

    fn port(&self, port: u16, protocol: Protocol) -> Option<String> {
        let datagrams = match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => libc::NI_DGRAM,
            Protocol::Sctp => return None,
        };
        let look_up = || {
            let socket = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            let (_, name) = getnameinfo(&socket, libc::NI_NUMERICHOST | datagrams).ok()?;
            (name.parse() != Ok(port)).then_some(name)
        };
        let mut ports = self.ports.borrow_mut();
        ports
            .entry((port, protocol))
            .or_insert_with(look_up)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_knows_itself_and_the_usual_ports() {
        let names = Resolver::default();
        assert_eq!(names.address("localhost"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(names.port(1, Protocol::Sctp), None);
        assert_eq!(names.port(65_535, Protocol::Tcp), None);
        assert_eq!(names.address("nosuch.invalid"), None);
    }

    #[test]
    fn a_number_is_not_the_name_of_a_port_however_it_is_written() {
        let names = Resolver::default();
        assert_eq!(names.port_of("http", Protocol::Tcp), Some(80));
        for number in [
            "65616",
            "65536",
            "131152",
            "4294967376",
            "-65456",
            "+65616",
            " 65616",
            "\t65616",
            "18446744073709551696",
            "80",
            "",
        ] {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                assert_eq!(names.port_of(number, protocol), None, "{number:?}");
            }
        }
    }
}
