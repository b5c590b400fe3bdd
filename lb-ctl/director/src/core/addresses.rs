//! The addresses of servers.

use std::net::IpAddr;

use lb_model::{Desired, Service, merge::Written};

/// Those of all servers that are desired.
pub fn desired(desired: &Desired) -> Vec<IpAddr> {
    of(desired.services.iter())
}

/// Those of the servers of a file.
pub fn written(written: &Written) -> Vec<IpAddr> {
    of(written.services.iter().flatten())
}

fn of<'a>(services: impl Iterator<Item = &'a Service>) -> Vec<IpAddr> {
    let servers = services.flat_map(|service| &service.servers);
    servers.map(|server| server.id.address).collect()
}
