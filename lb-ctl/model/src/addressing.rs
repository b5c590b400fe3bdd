//! Which addresses and ports services and servers may have.

use std::net::IpAddr;

use crate::{
    fault::Fault,
    ids::{ServerId, ServiceId},
    values::Method,
};

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
            "port 0 (every port) needs persistence, which this director does not support yet: give a port from 1 to 65535",
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

/// What an address is that cannot belong to one machine.
fn not_a_machine(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
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
            ("tcp/0.0.0.0:80", "the unspecified address"),
            ("tcp/0.1.2.3:80", "this network"),
            ("tcp/224.0.0.1:80", "multicast"),
            ("tcp/255.255.255.255:80", "broadcast"),
            ("tcp/127.0.0.1:80", "loopback"),
            ("tcp/192.0.2.1:0", "persistence"),
            ("tcp/[::]:80", "the unspecified address"),
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
            ("0.0.0.0:80", Method::Nat, "the unspecified address"),
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
}
