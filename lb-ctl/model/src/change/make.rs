//! Whether a change can be made, and what is desired then.

use super::{Change, End, error::ChangeError, undo::Undo};
use crate::{
    addressing,
    desired::{Desired, Server, Service},
    fault::Fault,
    ids::{Endpoint, ServiceId, ServiceRef},
    not_yet::{self, NotYet},
    options::{Patch, ServerOptions, ServiceOptions},
    refusal::Refusal,
    rules,
};

impl Change {
    /// Makes the change. Where it is refused, nothing has changed. `undo` remembers what was
    /// there before.
    ///
    /// What is wrong is looked for in the kernel's order, so that `ipvsadm` gives the kernel's
    /// reason where several things are wrong.
    pub fn make(&self, desired: &mut Desired, undo: &mut Undo) -> Result<(), ChangeError> {
        match self {
            Self::AddService { id, options } => {
                if desired.services.get(*id).is_some() {
                    return Err(ChangeError::ServiceExists(*id));
                }
                not_yet::service_id(*id)?;
                check_service(desired, *id, options)?;
                addressing::service(*id)?;
                undo.keep(desired, *id);
                desired.services.put(Service {
                    options: options.clone(),
                    ..Service::new(*id)
                });
            }
            Self::SetService { service, set } => {
                let mut changed = find(desired, service)?.clone();
                set.put(&mut changed.options)?;
                check_service(desired, changed.id, &changed.options)?;
                for server in &changed.servers {
                    let method = changed.method(server);
                    addressing::server(changed.id, server.id, method)
                        .map_err(|fault| Fault::new(format!("server {}: {fault}", server.id)))?;
                }
                undo.keep(desired, changed.id);
                desired.services.put(changed.normal());
            }
            Self::DeleteService { service } => {
                let id = find(desired, service)?.id;
                undo.remove(desired, id);
            }
            Self::Clear => {
                let all: Vec<_> = desired.services.iter().map(|service| service.id).collect();
                for id in all {
                    undo.remove(desired, id);
                }
            }
            Self::AddServer {
                service,
                server,
                options,
                end,
            } => {
                let service = find(desired, service)?;
                let mut server = Server {
                    id: server.of(service.id),
                    options: options.clone(),
                };
                check_numbers(&server.options)?;
                not_yet::server_address(server.id.address)?;
                if service.server(server.id).is_some() {
                    return Err(ChangeError::ServerExists(service.id, server.id));
                }
                check_server(service, &server)?;
                rules::server_count(service.servers.len() + 1).map_err(ChangeError::Full)?;
                server.follow(service.options.forward);
                let id = service.id;
                undo.keep(desired, id);
                if let Some(servers) = desired.services.servers_mut(id) {
                    match end {
                        End::Head => servers.insert(0, server),
                        End::Tail => servers.push(server),
                    }
                }
            }
            Self::SetServer {
                service,
                server,
                set,
            } => {
                let service = find(desired, service)?;
                let place = server_place(service, *server).or_else(|absent| {
                    check_whole(set)?;
                    Err(absent)
                })?;
                let mut server = service.servers[place].clone();
                set.put(&mut server.options)?;
                check_numbers(&server.options)?;
                check_server(service, &server)?;
                server.follow(service.options.forward);
                let id = service.id;
                undo.keep(desired, id);
                if let Some(servers) = desired.services.servers_mut(id) {
                    servers[place] = server;
                }
            }
            Self::DeleteServer { service, server } => {
                let service = find(desired, service)?;
                let place = server_place(service, *server)?;
                let id = service.id;
                undo.keep(desired, id);
                if let Some(servers) = desired.services.servers_mut(id) {
                    servers.remove(place);
                }
            }
            Self::SetTimeouts { set } => {
                let before = desired.timeouts.clone();
                set.put(&mut desired.timeouts)?;
                undo.keep_timeouts(before);
            }
            Self::Zero { service: None } => undo.zero_all(),
            Self::Zero {
                service: Some(service),
            } => {
                undo.zero(find(desired, service)?.id);
            }
            Self::StartSync { .. } => {
                return Err(ChangeError::NotYet(NotYet {
                    key: "sync",
                    fault: Fault::new("this director does not synchronise connections yet"),
                    refusal: Refusal::NoOption,
                }));
            }
            Self::StopSync { .. } => return Err(ChangeError::NoSync),
            Self::Replace(wanted) => undo.keep_all(std::mem::replace(desired, (**wanted).clone())),
        }
        Ok(())
    }
}

fn find<'a>(desired: &'a Desired, service: &ServiceRef) -> Result<&'a Service, ChangeError> {
    let found = desired.services.find(service);
    found.ok_or_else(|| ChangeError::no_such_service(service, desired))
}

fn server_place(service: &Service, server: Endpoint) -> Result<usize, ChangeError> {
    let wanted = server.of(service.id);
    let place = service.servers.iter().position(|s| s.id == wanted);
    place.ok_or_else(|| ChangeError::no_such_server(wanted, service))
}

/// The kernel looks for the scheduler and the persistence engine before it looks at anything
/// else.
fn check_service(
    desired: &Desired,
    id: ServiceId,
    options: &ServiceOptions,
) -> Result<(), ChangeError> {
    let mut not_yet = not_yet::service_options(options);
    not_yet.sort_by_key(|not_yet| not_yet.refusal != Refusal::NotFound);
    if let Some(first) = not_yet.into_iter().next() {
        return Err(first.into());
    }
    let Some(name) = &options.name else {
        return Ok(());
    };
    match desired.services.find(&ServiceRef::Name(name.clone())) {
        Some(owner) if owner.id != id => Err(ChangeError::NameTaken(name.clone(), owner.id)),
        _ => Ok(()),
    }
}

fn check_numbers(options: &ServerOptions) -> Result<(), ChangeError> {
    rules::weight(options.weight)
        .and_then(|()| rules::thresholds(options.upper, options.lower))
        .map_err(ChangeError::OutOfRange)
}

/// The kernel judges a server's numbers before it looks for the server. This can be done where
/// all of them are given; otherwise the ones that the server has count, too.
fn check_whole(set: &Patch) -> Result<(), ChangeError> {
    if ["weight", "upper", "lower"]
        .iter()
        .any(|key| set.get(key).is_none())
    {
        return Ok(());
    }
    let mut options = ServerOptions::default();
    set.put(&mut options)?;
    check_numbers(&options)
}

fn check_server(service: &Service, server: &Server) -> Result<(), ChangeError> {
    if let Some(not_yet) = not_yet::server_options(&server.options).into_iter().next() {
        return Err(not_yet.into());
    }
    addressing::server(service.id, server.id, service.method(server))?;
    Ok(())
}
