//! The names that the machine of the captures knew.

use std::net::Ipv4Addr;

use lb_ipvsadm::Names;
use lb_model::Protocol;

pub struct Machine;

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

const PORTS: [(&str, u16, Protocol); 6] = [
    ("http", 80, Protocol::Tcp),
    ("https", 443, Protocol::Tcp),
    ("http-alt", 8080, Protocol::Tcp),
    ("domain", 53, Protocol::Tcp),
    ("domain", 53, Protocol::Udp),
    ("https", 443, Protocol::Udp),
];

impl Names for Machine {
    fn address(&self, host: &str) -> Option<Ipv4Addr> {
        let found = HOSTS.iter().find(|(name, _)| *name == host);
        found.map(|(_, address)| Ipv4Addr::from(*address))
    }

    fn port_of(&self, name: &str, protocol: Protocol) -> Option<u16> {
        let found = PORTS.iter().find(|(n, _, p)| *n == name && *p == protocol);
        found.map(|(_, port, _)| *port)
    }

    fn host(&self, address: Ipv4Addr) -> Option<String> {
        let found = HOSTS.iter().find(|(_, a)| Ipv4Addr::from(*a) == address);
        found.map(|(name, _)| (*name).to_owned())
    }

    fn port(&self, port: u16, protocol: Protocol) -> Option<String> {
        let found = PORTS.iter().find(|(_, n, p)| *n == port && *p == protocol);
        found.map(|(name, ..)| (*name).to_owned())
    }
}
