//! Desired × observed = effective: what the packet path is to do, given what an operator wants
//! and what is known of the servers.

use std::{collections::BTreeMap, net::IpAddr};

use lb_model::{Method, Server, ServerId, Service, ServiceId, Unreachable};
use lb_network::Reach;

use super::reaches::Reaches;

/// A service as the packet path is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The service, with effective weights.
    pub service: Service,
    /// How each of its servers is reached.
    pub reaches: BTreeMap<IpAddr, Reach>,
}

/// What the packet path is to do with a service.
#[must_use]
pub fn service(desired: &Service, unreachable: Unreachable, reaches: &Reaches) -> Effective {
    let mut service = desired.clone();
    let mut of_servers = BTreeMap::new();
    for server in &mut service.servers {
        let address = server.id.address;
        let serves = reaches.is_reachable(address) && !is_misplaced(desired, server, reaches);
        server.options.weight = weight(server, unreachable, serves);
        of_servers.insert(address, reaches.get(address));
    }
    Effective {
        service,
        reaches: of_servers,
    }
}

/// A server's share of new connections. No other function computes it.
///
/// Unless the operator wants it, it does not count how the server is reached: as in IPVS, one whose
/// next hop is unknown keeps its share. This is the place where the results of health checks will
/// count.
#[must_use]
pub fn weight(desired: &Server, unreachable: Unreachable, serves: bool) -> u32 {
    match unreachable {
        Unreachable::Skip if !serves => 0,
        Unreachable::Skip | Unreachable::Keep => desired.options.weight,
    }
}

/// Why a server cannot be served by its method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "server {server} of {service}: the address is the director's own, and only DR reaches a server \
     on the director itself: give it `forward: dr`"
)]
pub struct OwnAddress {
    service: ServiceId,
    server: ServerId,
}

/// An error if a server on the director itself has another method than DR: its replies do not pass
/// the XDP program, so nothing could translate them back.
pub fn check_methods(service: &Service, reaches: &Reaches) -> Result<(), OwnAddress> {
    let mut servers = service.servers.iter();
    match servers.find(|server| is_misplaced(service, server, reaches)) {
        None => Ok(()),
        Some(server) => Err(OwnAddress {
            service: service.id,
            server: server.id,
        }),
    }
}

/// True if a server that DR does not reach is on the director itself.
fn is_misplaced(service: &Service, server: &Server, reaches: &Reaches) -> bool {
    service.method(server) != Method::Dr && reaches.is_local(server.id.address)
}

/// What is said of servers whose address has become the director's own since they were added, by
/// service and server.
#[must_use]
pub fn misplaced<'a>(
    services: impl Iterator<Item = &'a Service>,
    reaches: &Reaches,
) -> BTreeMap<String, String> {
    let servers = services.flat_map(|service| service.servers.iter().map(move |it| (service, it)));
    servers
        .filter(|(service, server)| is_misplaced(service, server, reaches))
        .map(|(Service { id: service, .. }, Server { id: server, .. })| {
            let told = format!(
                "server {server} of {service}: the address is the director's own now, and only DR \
                 reaches a server on the director itself: remove the address from the director, or \
                 give the server `forward: dr`"
            );
            (format!("{service} {server}"), told)
        })
        .collect()
}
