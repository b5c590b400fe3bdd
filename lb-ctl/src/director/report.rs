//! What the daemon says of its director: counters, and the connection table.

use std::net::SocketAddrV4;

use anyhow::Result;

use super::state::Director;
use crate::{
    api::{
        Connection, ConnectionFilter, Counters, DropStats, InterfaceStats, Reply, ServerStats,
        ServiceStats, Stats, TableStats,
    },
    dataplane::{self, Cursor, Page, ServerNumbers, Standing},
    desired::{Desired, Server, Service},
};

/// Everything that is counted.
pub fn stats(director: &Director) -> Result<Stats> {
    let Director {
        dataplane, desired, ..
    } = director;
    Ok(Stats {
        services: desired
            .services
            .iter()
            .map(|service| service_stats(director, service))
            .collect(),
        drops: dataplane
            .drops()?
            .into_iter()
            .map(|(reason, packets)| DropStats {
                reason: reason.name().to_owned(),
                packets,
            })
            .collect(),
        connections: TableStats {
            used: dataplane.connections_in_use(),
            capacity: dataplane.capacity().into(),
            slots: dataplane.slots().into(),
        },
        memory: dataplane.memory(),
        interfaces: interfaces(director, desired),
        uptime: director.since.elapsed().as_secs(),
        pid: std::process::id(),
    })
}

fn interfaces(director: &Director, desired: &Desired) -> Vec<InterfaceStats> {
    desired
        .interfaces
        .iter()
        .map(|name| {
            let attached = director.attached.get(name);
            InterfaceStats {
                name: name.clone(),
                mode: attached.map_or("none", |(_, mode)| mode.name()).to_owned(),
                attached: attached.is_some(),
            }
        })
        .collect()
}

fn service_stats(director: &Director, service: &Service) -> ServiceStats {
    let numbers = director.dataplane.numbers(service.id);
    let servers: Vec<_> = service
        .servers
        .iter()
        .map(|server| server_stats(director, numbers.server(server.id), server))
        .collect();
    let mut counters = Counters::of(numbers.former_servers(), 0, 0);
    for server in &servers {
        counters += server.counters;
    }
    ServiceStats {
        service: service.id,
        name: service.name.clone(),
        scheduler: service.scheduler,
        counters,
        servers,
    }
}

fn server_stats(director: &Director, numbers: ServerNumbers<'_>, server: &Server) -> ServerStats {
    let load = numbers.load();
    ServerStats {
        server: server.id,
        weight: server.weight,
        method: server.method,
        state: state(director, numbers.standing(server.method), server).to_owned(),
        counters: Counters::of(numbers.total(), load.active, load.inactive),
    }
}

fn state(director: &Director, standing: Standing, server: &Server) -> &'static str {
    match standing {
        Standing::Removed => "removed",
        Standing::Local => "local",
        _ if director.reaches.is_silent(server.id.address) => "next hop silent",
        Standing::Reachable => "up",
        Standing::Unreachable => "next hop unknown",
    }
}

/// The connections that a filter lets through, `limit` rows at most.
pub fn connections(director: &Director, filter: &ConnectionFilter, limit: usize) -> Reply {
    let mut rows = Vec::new();
    let mut total = 0;
    let mut cursor = Some(Cursor::default());
    while let Some(from) = cursor {
        let left = limit - rows.len();
        let Page {
            rows: found,
            found: number,
            next,
        } = director
            .dataplane
            .connections(from, left, |connection| filter.matches(&row(connection)));
        rows.extend(found.iter().map(row));
        total += number;
        cursor = next;
    }
    Reply::Connections { rows, total }
}

fn row(connection: &dataplane::Connection) -> Connection {
    let &dataplane::Connection {
        service,
        client,
        server,
        method,
        state,
        expires,
    } = connection;
    Connection {
        protocol: service.protocol,
        client,
        service: SocketAddrV4::new(service.address, service.port),
        server: SocketAddrV4::new(server.address, server.port),
        state,
        expires,
        method,
    }
}
