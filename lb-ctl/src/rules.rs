//! What a valid configuration must satisfy, whichever way it came: one value at a time.
//!
//! That things do not stand twice is for those to check who hold the lists.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use lb_common::schedule::MAX_SERVERS;

use crate::desired::{Method, Server, ServiceId};

/// What is wrong with a value, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    /// With this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Capacity of the connection table where none is given.
pub const DEFAULT_CONNECTIONS: u32 = 1_000_000;
/// Capacities that the connection table can have.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=100_000_000;
/// Timeouts in seconds: up to 31 days, as in IPVS.
pub const SECONDS: RangeInclusive<u32> = 1..=2_678_400;
/// Weight where none is given.
pub const DEFAULT_WEIGHT: u32 = 1;
/// Weights that a server can have.
pub const WEIGHTS: RangeInclusive<u32> = 0..=65_535;
/// Longest name of a service, in characters.
pub const NAME_CHARACTERS: usize = 64;
/// Longest name of an interface, in bytes (`IFNAMSIZ` without its final 0).
const INTERFACE_BYTES: usize = 15;

/// What a virtual service may be.
pub fn service(id: ServiceId) -> Result<(), Fault> {
    let ServiceId { address, port, .. } = id;
    if let Some(kind) = not_a_machine(address) {
        return Err(Fault::new(format!(
            "{address} is {kind}: a service needs an address that clients can reach"
        )));
    }
    if address.is_loopback() {
        return Err(Fault::new(format!(
            "{address} is a loopback address, which no client reaches: give the service an address of the network"
        )));
    }
    if port == 0 {
        return Err(Fault::new(
            "port 0 (every port) needs persistence, which this director does not have yet: give a port from 1 to 65535",
        ));
    }
    Ok(())
}

/// What a server of this service may be.
pub fn server(service: ServiceId, server: &Server) -> Result<(), Fault> {
    let address = server.id.address;
    if let Some(kind) = not_a_machine(address) {
        return Err(Fault::new(format!(
            "{address} is {kind}: a server needs the address of a machine"
        )));
    }
    if address == service.address {
        return Err(Fault::new(format!(
            "{address} is the service's own address: give the server's (127.0.0.1 means this director)"
        )));
    }
    if server.id.port == 0 {
        return Err(Fault::new(
            "port 0 is no server's: leave the port out to mean the service's",
        ));
    }
    match server.method {
        Method::Nat | Method::Tun if address.is_loopback() => Err(Fault::new(format!(
            "{address} means this director itself, which is reached by forward `dr` only"
        ))),
        Method::Dr | Method::Tun if server.id.port != service.port => Err(Fault::new(format!(
            "port {} is not the service's ({}), and only forward `nat` changes ports: leave it out, or use `nat`",
            server.id.port, service.port
        ))),
        Method::Dr | Method::Tun | Method::Nat => weight(server.weight),
    }
}

/// Which weights servers have.
pub fn weight(weight: u32) -> Result<(), Fault> {
    if WEIGHTS.contains(&weight) {
        return Ok(());
    }
    let (low, high) = WEIGHTS.into_inner();
    Err(Fault::new(format!(
        "{weight} is out of range: give a weight from {low} to {high}"
    )))
}

/// How many servers a service may have.
pub fn server_count(count: usize) -> Result<(), Fault> {
    if count <= MAX_SERVERS as usize {
        return Ok(());
    }
    Err(Fault::new(format!(
        "{count} servers, but a service has at most {MAX_SERVERS}: spread them over several services"
    )))
}

/// What a service may be named.
pub fn name(name: &str) -> Result<(), Fault> {
    let fits = (1..=NAME_CHARACTERS).contains(&name.chars().count());
    if fits
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "._-+@".contains(c))
    {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot name a service: use 1 to {NAME_CHARACTERS} letters, digits and . _ - + @",
        name.escape_debug()
    )))
}

/// What an interface may be named: the kernel's `dev_valid_name`, in printable characters.
pub fn interface(name: &str) -> Result<(), Fault> {
    let fits = (1..=INTERFACE_BYTES).contains(&name.len()) && name != "." && name != "..";
    if fits
        && !name
            .chars()
            .any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot be an interface: `ip -br link` lists those of this machine",
        name.escape_debug()
    )))
}

/// What an address is that cannot belong to one machine.
fn not_a_machine(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("no address in particular")
    } else if address.octets()[0] == 0 {
        Some("an address of \"this network\" (RFC 1122)")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::ServerId;

    fn service_fault(id: &str) -> String {
        service(id.parse().unwrap()).unwrap_err().to_string()
    }

    fn server_fault(service: &str, id: &str, method: Method) -> String {
        let id: ServerId = id.parse().unwrap();
        let weight = DEFAULT_WEIGHT;
        super::server(service.parse().unwrap(), &Server { id, weight, method })
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_service_needs_an_address_that_clients_can_reach() {
        for (id, why) in [
            ("tcp/0.0.0.0:80", "no address in particular"),
            ("tcp/0.1.2.3:80", "this network"),
            ("tcp/224.0.0.1:80", "multicast"),
            ("tcp/255.255.255.255:80", "broadcast"),
            ("tcp/127.0.0.1:80", "loopback"),
            ("tcp/192.0.2.1:0", "persistence"),
        ] {
            assert!(service_fault(id).contains(why), "{id}");
        }
    }

    #[test]
    fn a_server_is_another_machine_or_this_director_by_dr() {
        let vip = "tcp/192.0.2.1:80";
        for (id, method, why) in [
            ("0.0.0.0:80", Method::Nat, "no address in particular"),
            ("239.1.1.1:80", Method::Nat, "multicast"),
            ("192.0.2.1:80", Method::Dr, "own address"),
            ("192.0.2.1:8080", Method::Nat, "own address"),
            ("10.0.0.1:0", Method::Nat, "port 0"),
            ("127.0.0.1:80", Method::Nat, "forward `dr` only"),
            ("127.9.9.9:80", Method::Tun, "forward `dr` only"),
            (
                "10.0.0.1:8080",
                Method::Dr,
                "only forward `nat` changes ports",
            ),
            (
                "10.0.0.1:8080",
                Method::Tun,
                "only forward `nat` changes ports",
            ),
        ] {
            assert!(server_fault(vip, id, method).contains(why), "{id}");
        }
        let this = Server {
            id: "127.0.0.1:80".parse().unwrap(),
            weight: 0,
            method: Method::Dr,
        };
        assert_eq!(server(vip.parse().unwrap(), &this), Ok(()));
    }

    #[test]
    fn names_are_words_of_any_script() {
        assert_eq!(name("主页-1.example@site"), Ok(()));
        for bad in ["", "a b", "tcp/x", "a:b", "a\nb", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interfaces_are_named_as_the_kernel_allows() {
        assert_eq!(interface("eth0.100"), Ok(()));
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
            assert!(interface(bad).is_err(), "{bad:?}");
        }
    }
}
