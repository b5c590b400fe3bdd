//! What a valid configuration must satisfy, whichever way it came: one value at a time.
//! Whoever holds a list checks it for duplicates.

use std::{net::IpAddr, ops::RangeInclusive};

use crate::{
    fault::Fault,
    ids::{ServerId, ServiceId},
    values::Method,
};

/// Capacity of the connection table where none is given.
pub const DEFAULT_CONNECTIONS: u32 = 1_000_000;
/// Capacities that the connection table can have.
pub const CONNECTIONS: RangeInclusive<u32> = 1..=100_000_000;
/// Times in seconds: up to 31 days, as in IPVS.
pub const SECONDS: RangeInclusive<u32> = 1..=2_678_400;
/// How long a client keeps its server where nothing is said, in seconds: as ipvsadm has it.
pub const DEFAULT_PERSISTENCE: u32 = 360;
/// Weights that a server can have.
pub const WEIGHTS: RangeInclusive<u32> = 0..=65_535;
/// Servers that a service can have.
pub const MOST_SERVERS: usize = 1024;
/// Longest name of a service, in characters.
pub const NAME_CHARACTERS: usize = 64;
/// Longest line of text, in characters.
pub const TEXT_CHARACTERS: usize = 200;
/// Longest name of an interface, in bytes (`IFNAMSIZ` without its final 0).
const INTERFACE_BYTES: usize = 15;

/// What a virtual service may be.
pub fn service(id: ServiceId) -> Result<(), Fault> {
    let ServiceId::Address { at, .. } = id else {
        return Ok(());
    };
    let address = at.ip();
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
    if at.port() == 0 {
        return Err(Fault::new(
            "port 0 (every port) needs persistence, which this director does not have yet: give a port from 1 to 65535",
        ));
    }
    Ok(())
}

/// What a server of this service may be, reached by `method`.
pub fn server(service: ServiceId, server: ServerId, method: Method) -> Result<(), Fault> {
    let ServerId { address, port } = server;
    if let Some(kind) = not_a_machine(address) {
        return Err(Fault::new(format!(
            "{address} is {kind}: a server needs the address of a machine"
        )));
    }
    if Some(address) == service.address() {
        return Err(Fault::new(format!(
            "{address} is the service's own address: give the server's (127.0.0.1 means this director)"
        )));
    }
    if port == 0 && service.port() != 0 {
        return Err(Fault::new(
            "port 0 is not a server's: leave the port out to mean the service's",
        ));
    }
    match method {
        Method::Nat | Method::Tun | Method::Fullnat if address.is_loopback() => Err(Fault::new(
            format!("{address} means this director itself, which is reached by forward `dr` only"),
        )),
        Method::Dr | Method::Tun if port != service.port() => Err(Fault::new(format!(
            "port {port} is not the service's ({}), and only forward `nat` changes ports: leave it out, or use `nat`",
            service.port()
        ))),
        Method::Dr | Method::Tun | Method::Nat | Method::Fullnat => Ok(()),
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

/// Which limits of connections go together.
pub fn thresholds(upper: u32, lower: u32) -> Result<(), Fault> {
    if lower <= upper {
        return Ok(());
    }
    Err(Fault::new(format!(
        "the lower limit {lower} is above the upper limit {upper}"
    )))
}

/// How many servers a service may have.
pub fn server_count(count: usize) -> Result<(), Fault> {
    if count <= MOST_SERVERS {
        return Ok(());
    }
    Err(Fault::new(format!(
        "{count} servers, but a service has at most {MOST_SERVERS}: spread them over several services"
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

/// What a line of text for people may be.
pub fn text(text: &str) -> Result<(), Fault> {
    let fits = (1..=TEXT_CHARACTERS).contains(&text.chars().count());
    let trimmed = text.trim() == text;
    if fits && trimmed && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot be shown: give one line of 1 to {TEXT_CHARACTERS} characters, without spaces at its ends",
        text.escape_debug()
    )))
}

/// What a persistence engine may be named: the kernel's `IP_VS_PENAME_MAXLEN`.
pub fn engine(name: &str) -> Result<(), Fault> {
    if (1..=16).contains(&name.len()) {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` cannot name a persistence engine: give 1 to 16 bytes",
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
fn not_a_machine(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("no address in particular");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    match address {
        IpAddr::V4(address) if address.octets()[0] == 0 => {
            Some("an address of \"this network\" (RFC 1122)")
        }
        IpAddr::V4(address) if address.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service_fault(id: &str) -> String {
        service(id.parse().unwrap()).unwrap_err().to_string()
    }

    fn server_fault(service: &str, id: &str, method: Method) -> String {
        server(service.parse().unwrap(), id.parse().unwrap(), method)
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
            ("tcp/[::]:80", "no address in particular"),
            ("tcp/[ff02::1]:80", "multicast"),
            ("tcp/[::1]:80", "loopback"),
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
        let this = "127.0.0.1:80".parse().unwrap();
        assert_eq!(server(vip.parse().unwrap(), this, Method::Dr), Ok(()));
    }

    #[test]
    fn names_are_words_of_any_script() {
        assert_eq!(name("主页-1.example@site"), Ok(()));
        for bad in ["", "a b", "tcp/x", "a:b", "a\nb", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_is_one_line() {
        assert_eq!(text("The shop's front page: \"www\" — 主页"), Ok(()));
        for bad in ["", " a", "a ", "a\nb", "a\x1b[31mb", &"x".repeat(201)] {
            assert!(text(bad).is_err(), "{bad:?}");
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
