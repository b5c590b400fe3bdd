//! What the daemon says of its director: counters, and the connection table.

use std::net::SocketAddrV4;

use anyhow::Result;
use lb_common::{
    connection::age,
    server::{SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE},
};

use super::state::Director;
use crate::{
    api::{
        Connection, ConnectionFilter, Counters, DropStats, InterfaceStats, Reply, ServerStats,
        ServiceStats, State, Stats, TableStats,
    },
    dataplane::{clock, servers::address},
    desired::{Desired, Server, Service},
};

/// Everything that is counted.
pub fn stats(director: &Director) -> Result<Stats> {
    let Director {
        dataplane, desired, ..
    } = director;
    let settings = dataplane.settings();
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
            used: dataplane.services.servers.connections(),
            capacity: settings.connections.into(),
            slots: dataplane.connections.slots().into(),
        },
        memory: dataplane.bytes(),
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
    let services = &director.dataplane.services;
    let servers: Vec<_> = service
        .servers
        .iter()
        .map(|server| server_stats(director, service, server))
        .collect();
    let retired = services
        .index(service.id)
        .map_or_else(Counters::default, |index| {
            Counters::of(services.servers.retired(index), Default::default())
        });
    let counters = servers.iter().fold(retired, |mut sum, server| {
        sum += server.counters;
        sum
    });
    ServiceStats {
        service: service.id,
        name: service.name.clone(),
        scheduler: service.scheduler,
        counters,
        servers,
    }
}

fn server_stats(director: &Director, service: &Service, server: &Server) -> ServerStats {
    let servers = &director.dataplane.services.servers;
    let mut counters = Counters::default();
    for index in servers.entries_of(service.id, server.id) {
        counters += Counters::of(servers.counters(index), servers.load(index));
    }
    ServerStats {
        server: server.id,
        weight: server.weight,
        method: server.method,
        state: state(director, service, server).to_owned(),
        counters,
    }
}

fn state(director: &Director, service: &Service, server: &Server) -> &'static str {
    let servers = &director.dataplane.services.servers;
    let flags = servers
        .entries_of(service.id, server.id)
        .filter_map(|index| servers.entry(index))
        .filter(|entry| entry.method == server.method as u8)
        .fold(0, |flags, entry| flags | entry.flags);
    match flags {
        flags if flags & SERVER_AVAILABLE == 0 => "removed",
        flags if flags & SERVER_LOCAL != 0 => "local",
        _ if director.reaches.is_silent(server.id.address) => "next hop silent",
        flags if flags & SERVER_REACHABLE != 0 => "up",
        _ => "next hop unknown",
    }
}

/// The connections that a filter lets through, `limit` rows at most.
pub fn connections(director: &Director, filter: &ConnectionFilter, limit: usize) -> Reply {
    let dataplane = &director.dataplane;
    let settings = dataplane.settings();
    let now = clock::now(&settings);
    let mut rows = Vec::new();
    let mut total = 0;
    for connection in dataplane.connections.live(settings) {
        let Some(identity) = dataplane.services.servers.identity(connection.server) else {
            continue;
        };
        let Some(state) = State::from_number(connection.word.state) else {
            continue;
        };
        let timeout = settings.timeouts[usize::from(connection.word.state)];
        let left = timeout.saturating_sub(age(now, connection.word.stamp));
        let key = &connection.key;
        let row = Connection {
            protocol: identity.service.protocol,
            client: SocketAddrV4::new(address(key.source()), u16::from_be(key.source_port())),
            service: SocketAddrV4::new(
                address(key.destination()),
                u16::from_be(key.destination_port()),
            ),
            server: SocketAddrV4::new(identity.server.address, identity.server.port),
            state,
            expires: clock::seconds(&settings, left),
            method: identity.method,
        };
        if filter.matches(&row) {
            total += 1;
            if rows.len() < limit {
                rows.push(row);
            }
        }
    }
    Reply::Connections { rows, total }
}
