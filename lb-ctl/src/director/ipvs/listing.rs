//! Services and servers with their numbers, as IPVS lists them.

use std::net::SocketAddr;

use lb_common::server::Counters;

use super::{super::state::Director, judge};
use crate::{
    dataplane::servers::sum,
    desired::{Method, Protocol, Server, Service},
    ipvs::{
        self, Forward, Key, ListedServer, ListedService, Listing, Numbers, Refusal, Reply, Traffic,
        Transport, Tunnel,
    },
    spelling::Named,
};

/// One service, or all of them.
pub fn list(director: &Director, service: Option<Key>, numbers: Numbers) -> Reply {
    let services = &director.desired.services;
    let listed = match service {
        None => services
            .iter()
            .map(|s| of_service(director, s, numbers))
            .collect(),
        Some(key) => {
            let id = judge::id(key);
            let Some(service) = services.iter().find(|service| Some(service.id) == id) else {
                return Reply::Refused(Refusal::NoService);
            };
            vec![of_service(director, service, numbers)]
        }
    };
    Reply::Listing(Listing {
        size: director.dataplane.settings().connections,
        services: listed,
    })
}

fn of_service(director: &Director, service: &Service, numbers: Numbers) -> ListedService {
    let dataplane = &director.dataplane.services;
    let servers: Vec<_> = service
        .servers
        .iter()
        .map(|server| of_server(director, service, server, numbers))
        .collect();
    let index = dataplane.index(service.id);
    let traffic = match (numbers, index) {
        (Numbers::Connections, _) | (_, None) => Traffic::default(),
        (Numbers::Counters, Some(index)) => {
            let total = dataplane.counters(service.id);
            dataplane.servers.shown_of_service(index, total).into()
        }
        (Numbers::Rates, Some(index)) => dataplane.servers.rates_of_service(index),
    };
    ListedService {
        service: ipvs::Service {
            key: Key::Address {
                transport: match service.id.protocol {
                    Protocol::Tcp => Transport::Tcp,
                    Protocol::Udp => Transport::Udp,
                },
                at: SocketAddr::new(service.id.address.into(), service.id.port),
            },
            scheduler: service.scheduler.name().to_owned(),
            flags: 0,
            persistence: None,
            engine: None,
            one_packet: false,
        },
        traffic,
        servers,
    }
}

fn of_server(
    director: &Director,
    service: &Service,
    server: &Server,
    numbers: Numbers,
) -> ListedServer {
    let servers = &director.dataplane.services.servers;
    let mut listed = ListedServer {
        server: ipvs::Server {
            at: SocketAddr::new(server.id.address.into(), server.id.port),
            forward: match server.method {
                Method::Nat => Forward::Masq,
                Method::Dr => Forward::Route,
                Method::Tun => Forward::Tunnel,
            },
            weight: server.weight,
            upper: 0,
            lower: 0,
            tunnel: Tunnel::Ipip,
        },
        active: 0,
        inactive: 0,
        persistent: 0,
        traffic: Traffic::default(),
    };
    let mut counters = Counters::default();
    for index in servers.entries_of(service.id, server.id) {
        let load = servers.load(index);
        listed.active += load.active;
        listed.inactive += load.inactive;
        match numbers {
            Numbers::Connections => {}
            Numbers::Counters => counters = sum(counters, servers.shown(index)),
            Numbers::Rates => listed.traffic += servers.rates(index),
        }
    }
    if numbers == Numbers::Counters {
        listed.traffic = counters.into();
    }
    listed
}

impl From<Counters> for Traffic {
    fn from(counters: Counters) -> Self {
        Self {
            connections: counters.connections,
            in_packets: counters.in_packets,
            out_packets: counters.out_packets,
            in_bytes: counters.in_bytes,
            out_bytes: counters.out_bytes,
        }
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.in_packets += other.in_packets;
        self.out_packets += other.out_packets;
        self.in_bytes += other.in_bytes;
        self.out_bytes += other.out_bytes;
    }
}
