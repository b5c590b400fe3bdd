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
        server.options.weight = weight(server, unreachable, reaches.is_reachable(address));
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
pub fn weight(desired: &Server, unreachable: Unreachable, is_reachable: bool) -> u32 {
    match unreachable {
        Unreachable::Skip if !is_reachable => 0,
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
    let wrong = service
        .servers
        .iter()
        .find(|server| service.method(server) != Method::Dr && reaches.is_local(server.id.address));
    match wrong {
        None => Ok(()),
        Some(server) => Err(OwnAddress {
            service: service.id,
            server: server.id,
        }),
    }
}
