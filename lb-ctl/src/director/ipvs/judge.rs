//! Which changes are made, and why others are not: the kernel's reasons, in its order. Pure.
//!
//! What the packet path does not act on is refused for the reason that a kernel without it
//! would give.

use std::net::SocketAddr;

use crate::{
    desired::{Method, Protocol, Scheduler, ServerId, ServiceId, ServiceRef, Timeouts},
    edit::{Draft, Edit, EditError, End, Endpoint, Rename},
    ipvs::{Change, Forward, Key, Refusal, Server, Service, Transport, Tunnel},
    rules,
    spelling::Named,
};

/// Makes a change, or says why not. Gives the services whose counters are to be shown from
/// here on.
pub fn make(draft: &mut Draft, change: &Change) -> Result<Vec<ServiceId>, Refusal> {
    match change {
        Change::AddService(service) => {
            let id = id(service.key);
            if id.is_some_and(|id| draft.service(id).is_some()) {
                return Err(Refusal::Exists);
            }
            let id = id.ok_or_else(|| unserved(service.key))?;
            let scheduler = scheduler(service)?;
            edit(
                draft,
                &Edit::AddService {
                    id,
                    name: None,
                    scheduler,
                    forward: Method::Dr,
                },
            )?;
        }
        Change::SetService(service) => {
            let id = find(draft, service.key)?;
            let scheduler = Some(scheduler(service)?);
            edit(
                draft,
                &Edit::SetService {
                    service: ServiceRef::Id(id),
                    name: Rename::Keep,
                    scheduler,
                    forward: None,
                },
            )?;
        }
        Change::DeleteService(key) => {
            let service = ServiceRef::Id(find(draft, *key)?);
            edit(draft, &Edit::DeleteService { service })?;
        }
        Change::Clear => draft.clear(),
        Change::AddServer(key, server) => {
            let id = find(draft, *key)?;
            check(server)?;
            let endpoint = endpoint(server.at).ok_or(Refusal::NoFamily)?;
            if has(draft, id, endpoint) {
                return Err(Refusal::Exists);
            }
            edit(
                draft,
                &Edit::AddServer {
                    service: ServiceRef::Id(id),
                    server: endpoint,
                    weight: server.weight,
                    forward: Some(method(server)?),
                    end: End::Head,
                },
            )?;
        }
        Change::SetServer(key, server) => {
            let id = find(draft, *key)?;
            check(server)?;
            let endpoint = find_server(draft, id, server.at)?;
            edit(
                draft,
                &Edit::SetServer {
                    service: ServiceRef::Id(id),
                    server: endpoint,
                    weight: Some(server.weight),
                    forward: Some(method(server)?),
                },
            )?;
        }
        Change::DeleteServer(key, at) => {
            let id = find(draft, *key)?;
            let server = find_server(draft, id, *at)?;
            let service = ServiceRef::Id(id);
            edit(draft, &Edit::DeleteServer { service, server })?;
        }
        Change::Zero(Some(key)) => return Ok(vec![find(draft, *key)?]),
        Change::Zero(None) => return Ok(draft.services().map(|service| service.id).collect()),
        Change::SetTimeouts(Timeouts { tcp, tcpfin, udp }) => {
            let timeouts = &mut draft.rest().timeouts;
            let keep = |value: &mut u32, new: u32| {
                if new != 0 {
                    *value = new;
                }
            };
            keep(&mut timeouts.tcp, *tcp);
            keep(&mut timeouts.tcpfin, *tcpfin);
            keep(&mut timeouts.udp, *udp);
        }
        Change::StartSync(..) => return Err(Refusal::NoOption),
        Change::StopSync(_) => return Err(Refusal::NoService),
    }
    Ok(Vec::new())
}

/// What a service is called here, if there can be one.
pub fn id(key: Key) -> Option<ServiceId> {
    let Key::Address {
        transport,
        at: SocketAddr::V4(at),
    } = key
    else {
        return None;
    };
    let protocol = match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
        Transport::Sctp => return None,
    };
    Some(ServiceId {
        protocol,
        address: *at.ip(),
        port: at.port(),
    })
}

/// Why there can be no such service.
fn unserved(key: Key) -> Refusal {
    match key {
        Key::Address { at, .. } if at.is_ipv6() => Refusal::NoFamily,
        Key::Address { .. } => Refusal::NoProtocol,
        Key::Mark { .. } => Refusal::NoOption,
    }
}

fn find(draft: &Draft, key: Key) -> Result<ServiceId, Refusal> {
    id(key)
        .filter(|&id| draft.service(id).is_some())
        .ok_or(Refusal::NoService)
}

/// The scheduler, where a service asks for nothing else.
fn scheduler(service: &Service) -> Result<Scheduler, Refusal> {
    let known = Scheduler::ALL.iter().copied();
    let scheduler = known
        .filter(|_| service.engine.is_none())
        .find(|scheduler| scheduler.name() == service.scheduler)
        .ok_or(Refusal::NotFound)?;
    if service.persistence.is_some() || service.one_packet || service.flags != 0 {
        return Err(Refusal::NoOption);
    }
    Ok(scheduler)
}

fn check(server: &Server) -> Result<(), Refusal> {
    if !rules::WEIGHTS.contains(&server.weight) || server.lower > server.upper {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

/// The method, where a server asks for nothing else.
fn method(server: &Server) -> Result<Method, Refusal> {
    if server.upper != 0 || server.lower != 0 {
        return Err(Refusal::NoOption);
    }
    match (server.forward, server.tunnel) {
        (Forward::Masq, _) => Ok(Method::Nat),
        (Forward::Route, _) => Ok(Method::Dr),
        (Forward::Tunnel, Tunnel::Ipip) => Ok(Method::Tun),
        (Forward::Tunnel, Tunnel::Gue { .. } | Tunnel::Gre { .. }) => Err(Refusal::NoOption),
    }
}

fn endpoint(at: SocketAddr) -> Option<Endpoint> {
    match at {
        SocketAddr::V4(at) => Some(Endpoint {
            address: *at.ip(),
            port: Some(at.port()),
        }),
        SocketAddr::V6(_) => None,
    }
}

fn has(draft: &Draft, service: ServiceId, server: Endpoint) -> bool {
    let wanted: ServerId = server.of(service);
    draft
        .service(service)
        .is_some_and(|service| service.servers.iter().any(|server| server.id == wanted))
}

fn find_server(draft: &Draft, service: ServiceId, at: SocketAddr) -> Result<Endpoint, Refusal> {
    endpoint(at)
        .filter(|&endpoint| has(draft, service, endpoint))
        .ok_or(Refusal::NotFound)
}

fn edit(draft: &mut Draft, edit: &Edit) -> Result<(), Refusal> {
    draft.make(edit).map_err(|error| match error {
        EditError::Invalid(_) => Refusal::Invalid,
        EditError::ServiceExists(_) | EditError::ServerExists(..) => Refusal::Exists,
        EditError::NoSuchService { .. } => Refusal::NoService,
        EditError::NoSuchServer { .. } => Refusal::NotFound,
        // No name is given.
        EditError::NameTaken(..) => Refusal::Invalid,
    })
}
