//! Between the words of this crate and those of the model, which the data plane speaks.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use lb_model::{Seconds, spelling::Named as _};

use crate::{
    desired::{Protocol, Server, ServerId, Service, ServiceId, Timeouts},
    ipvs::Traffic,
    spelling::Named,
};

/// A service in the model.
pub fn to_model(service: &Service) -> lb_model::Service {
    let mut model = lb_model::Service::new(id(service.id));
    model.options.name = service.name.as_ref().and_then(|name| name.parse().ok());
    model.options.scheduler = lb_model::Scheduler::named(service.scheduler.name());
    model.options.forward = method(service.forward);
    model.servers = service
        .servers
        .iter()
        .map(|server| lb_model::Server {
            id: server_id(server.id),
            options: lb_model::ServerOptions {
                weight: server.weight,
                forward: Some(method(server.method)),
                ..lb_model::ServerOptions::default()
            },
        })
        .collect();
    model.normal()
}

/// A service of the model; `None` where these words lack something.
pub fn from_model(model: &lb_model::Service) -> Option<Service> {
    let id = model.id.to_string().parse().ok()?;
    let servers = model.servers.iter().map(|server| {
        Some(Server {
            id: from_server_id(server.id)?,
            weight: server.options.weight,
            method: word(model.method(server).name())?,
        })
    });
    Some(Service {
        id,
        name: model.options.name.as_ref().map(ToString::to_string),
        scheduler: word(model.options.scheduler.name())?,
        forward: word(model.options.forward.name())?,
        servers: servers.collect::<Option<_>>()?,
    })
}

/// The identity of a service.
pub fn id(id: ServiceId) -> lb_model::ServiceId {
    lb_model::ServiceId::Address {
        protocol: match id.protocol {
            Protocol::Tcp => lb_model::Protocol::Tcp,
            Protocol::Udp => lb_model::Protocol::Udp,
        },
        at: SocketAddr::new(id.address.into(), id.port),
    }
}

/// The identity of a server.
pub fn server_id(id: ServerId) -> lb_model::ServerId {
    lb_model::ServerId {
        address: id.address.into(),
        port: id.port,
    }
}

fn from_server_id(id: lb_model::ServerId) -> Option<ServerId> {
    let IpAddr::V4(address) = id.address else {
        return None;
    };
    Some(ServerId {
        address,
        port: id.port,
    })
}

/// A forwarding method.
pub fn method(method: crate::desired::Method) -> lb_model::Method {
    use crate::desired::Method;
    match method {
        Method::Dr => lb_model::Method::Dr,
        Method::Nat => lb_model::Method::Nat,
        Method::Tun => lb_model::Method::Tun,
    }
}

/// The timeouts.
pub fn timeouts(Timeouts { tcp, tcpfin, udp }: Timeouts) -> lb_model::Timeouts {
    lb_model::Timeouts {
        tcp: Seconds(tcp),
        tcpfin: Seconds(tcpfin),
        udp: Seconds(udp),
    }
}

/// The same, from the model.
pub fn from_timeouts(lb_model::Timeouts { tcp, tcpfin, udp }: lb_model::Timeouts) -> Timeouts {
    Timeouts {
        tcp: tcp.0,
        tcpfin: tcpfin.0,
        udp: udp.0,
    }
}

/// What was counted.
pub fn traffic(counters: lb_model::Counters) -> Traffic {
    Traffic {
        connections: counters.connections,
        in_packets: counters.in_packets,
        out_packets: counters.out_packets,
        in_bytes: counters.in_bytes,
        out_bytes: counters.out_bytes,
    }
}

/// A row of the connection table; `None` where these words lack something.
pub fn connection(row: &lb_dataplane::Connection) -> Option<crate::api::Connection> {
    let server = from_server_id(row.server)?;
    Some(crate::api::Connection {
        protocol: word(row.protocol.name())?,
        client: v4(row.client)?,
        service: v4(row.service)?,
        server: SocketAddrV4::new(server.address, server.port),
        state: word(row.state.name())?,
        expires: row.expires,
        method: word(row.method.name())?,
    })
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

fn word<T: Named>(word: &str) -> Option<T> {
    T::parse(word).ok()
}
