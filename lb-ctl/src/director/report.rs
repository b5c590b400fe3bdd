//! What the daemon says of its director: counters, and the connection table.

use anyhow::Result;
use lb_dataplane::{Cursor, Dataplane, Page, ServerNumbers, Standing};

use super::{bridge, state::Director};
use crate::{
    api::{
        ConnectionFilter, Counters, DropStats, InterfaceStats, Reply, ServerStats, ServiceStats,
        Stats, TableStats,
    },
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
    let numbers = director.dataplane.numbers(bridge::id(service.id));
    let servers: Vec<_> = service
        .servers
        .iter()
        .map(|server| {
            server_stats(
                director,
                numbers.server(bridge::server_id(server.id)),
                server,
            )
        })
        .collect();
    let mut counters = Counters::of(bridge::traffic(numbers.former_servers()), 0, 0);
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
        state: state(
            director,
            numbers.standing(bridge::method(server.method)),
            server,
        )
        .to_owned(),
        counters: Counters::of(bridge::traffic(numbers.total()), load.active, load.inactive),
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

/// A page of the connections that a filter lets through.
pub fn connections(
    dataplane: &Dataplane,
    filter: &ConnectionFilter,
    cursor: Option<u32>,
    limit: usize,
) -> Reply {
    let cursor = cursor.map_or_else(Cursor::default, |place| Cursor::from(u64::from(place)));
    let matches = |connection: &lb_dataplane::Connection| {
        bridge::connection(connection).is_some_and(|row| filter.matches(&row))
    };
    let Page { rows, found, next } = dataplane.connections(cursor, limit, matches);
    Reply::Connections {
        rows: rows.iter().filter_map(bridge::connection).collect(),
        found,
        next: next.map(|place| u64::from(place) as u32),
    }
}
