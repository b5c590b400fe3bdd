//! Services and servers with their numbers, as IPVS lists them.

use std::net::SocketAddr;

use lb_dataplane::ServerNumbers;

use super::{
    super::{bridge, state::Director},
    judge,
};
use crate::{
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
        size: director.dataplane.capacity(),
        services: listed,
    })
}

fn of_service(director: &Director, service: &Service, numbers: Numbers) -> ListedService {
    let counted = director.dataplane.numbers(bridge::id(service.id));
    let servers: Vec<_> = service
        .servers
        .iter()
        .map(|server| {
            of_server(
                counted.server(bridge::server_id(server.id)),
                server,
                numbers,
            )
        })
        .collect();
    let traffic = match numbers {
        Numbers::Connections => Traffic::default(),
        Numbers::Counters => bridge::traffic(counted.since_zero()),
        Numbers::Rates => bridge::traffic(counted.rates()),
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

fn of_server(counted: ServerNumbers<'_>, server: &Server, numbers: Numbers) -> ListedServer {
    let load = counted.load();
    ListedServer {
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
        active: load.active as u32,
        inactive: load.inactive as u32,
        persistent: 0,
        traffic: match numbers {
            Numbers::Connections => Traffic::default(),
            Numbers::Counters => bridge::traffic(counted.since_zero()),
            Numbers::Rates => bridge::traffic(counted.rates()),
        },
    }
}
