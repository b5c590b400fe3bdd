//! The one vocabulary of change. Every front end says what it wants in these words; they follow
//! IPVS where it has a rule (what exists is not added, what does not exist is not changed).

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    addressing,
    desired::{Desired, Server, Service},
    fault::Fault,
    ids::{Endpoint, ServerId, ServiceId, ServiceRef},
    not_yet::{self, NotYet},
    options::{Patch, ServerOptions, ServiceOptions, Timeouts},
    refusal::Refusal,
    rules,
    spelling::{SHOWN, some_of},
    sync::{Role, Sync},
    values::Name,
};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A new service, after the others.
    AddService {
        /// What it is.
        id: ServiceId,
        /// What is said of it.
        #[serde(default)]
        options: ServiceOptions,
    },
    /// Changes some options of a service.
    SetService {
        /// Which.
        service: ServiceRef,
        /// These options.
        set: Patch,
    },
    /// Removes a service and its servers.
    DeleteService {
        /// Which.
        service: ServiceRef,
    },
    /// Removes all services.
    Clear,
    /// A new server.
    AddServer {
        /// Of which service.
        service: ServiceRef,
        /// Where it is.
        server: Endpoint,
        /// What is said of it.
        #[serde(default)]
        options: ServerOptions,
        /// Where in the order in which servers are scheduled.
        #[serde(default)]
        end: End,
    },
    /// Changes some options of a server, which keeps its place.
    SetServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
        /// These options.
        set: Patch,
    },
    /// Removes a server.
    DeleteServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
    },
    /// Changes some timeouts.
    SetTimeouts {
        /// These.
        set: Patch,
    },
    /// Lets the counters of a service and its servers, or of all, be shown from here on.
    Zero {
        /// Which service; all where none is given.
        service: Option<ServiceRef>,
    },
    /// Starts to synchronise connections.
    StartSync {
        /// In which role.
        role: Role,
        /// How.
        sync: Sync,
    },
    /// Stops to synchronise connections.
    StopSync {
        /// In which role.
        role: Role,
    },
    /// Everything becomes as it is said here.
    Replace(Box<Desired>),
}

/// An end of the order in which servers are scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Before the others, where IPVS puts its servers.
    Head,
    /// After the others, where the next line of a file would be.
    #[default]
    Tail,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Services are added once.
    #[error("service {0} already exists: `lb-ctl service set` changes it")]
    ServiceExists(ServiceId),
    /// There is none that is called so.
    #[error("no such service: {wanted}; {there}")]
    NoSuchService {
        /// As typed.
        wanted: ServiceRef,
        /// Those that there are.
        there: There,
    },
    /// Names tell services apart.
    #[error("the name {0} already belongs to service {1}")]
    NameTaken(Name, ServiceId),
    /// Servers are added once.
    #[error("server {1} already exists in service {0}: `lb-ctl server set` changes it")]
    ServerExists(ServiceId, ServerId),
    /// The service has none at this address and port.
    #[error("no such server in service {service}: {wanted}; {there}")]
    NoSuchServer {
        /// The service.
        service: ServiceId,
        /// As typed, with the port.
        wanted: ServerId,
        /// Those that there are.
        there: There,
    },
    /// A number is too large or too small.
    #[error(transparent)]
    OutOfRange(Fault),
    /// A value breaks another rule.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// It is right, but the packet path cannot do it.
    #[error("{}", .0.fault)]
    NotYet(NotYet),
    /// Connections are not synchronised in this role.
    #[error("connections are not synchronised: there is nothing to stop")]
    NoSync,
}

impl From<NotYet> for ChangeError {
    fn from(not_yet: NotYet) -> Self {
        Self::NotYet(not_yet)
    }
}

impl ChangeError {
    /// The kernel's reason.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::ServiceExists(_) | Self::ServerExists(..) => Refusal::Exists,
            Self::NoSuchService { .. } | Self::NoSync => Refusal::NoService,
            Self::NoSuchServer { .. } => Refusal::NotFound,
            Self::OutOfRange(_) => Refusal::OutOfRange,
            Self::Invalid(_) | Self::NameTaken(..) => Refusal::Invalid,
            Self::NotYet(not_yet) => not_yet.refusal,
        }
    }

    /// True where the change would be wrong at any time, whatever there is.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_) | Self::OutOfRange(_) | Self::NotYet(_)
        )
    }

    /// Where a service is named that there is none of.
    #[must_use]
    pub fn no_such_service(wanted: &ServiceRef, desired: &Desired) -> Self {
        let services = desired.services.iter();
        let names = services.map(|service| match &service.options.name {
            Some(name) => format!("{} ({name})", service.id),
            None => service.id.to_string(),
        });
        Self::NoSuchService {
            wanted: wanted.clone(),
            there: There::of(names, desired.services.len()),
        }
    }
}

/// What there is, for a message: the first few by name. A message about one of 10 000 services
/// costs no more than one about one of ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct There {
    first: Vec<String>,
    all: usize,
}

impl There {
    fn of(names: impl Iterator<Item = String>, all: usize) -> Self {
        Self {
            first: names.take(SHOWN).collect(),
            all,
        }
    }
}

impl fmt::Display for There {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all {
            0 => f.write_str("there are none"),
            all => write!(f, "there are: {}", some_of(&self.first, all)),
        }
    }
}

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
                rules::server_count(service.servers.len() + 1)?;
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
                undo.timeouts.get_or_insert(before);
            }
            Self::Zero { service: None } => undo.all_zeroed = true,
            Self::Zero {
                service: Some(service),
            } => {
                undo.zeroed.insert(find(desired, service)?.id);
            }
            Self::StartSync { .. } => {
                return Err(ChangeError::NotYet(NotYet {
                    key: "sync",
                    fault: Fault::new("this director does not synchronise connections yet"),
                    refusal: Refusal::NoOption,
                }));
            }
            Self::StopSync { .. } => return Err(ChangeError::NoSync),
            Self::Replace(wanted) => undo.all(std::mem::replace(desired, (**wanted).clone())),
        }
        Ok(())
    }

    /// The server that it may bring, of whose address nothing may be known yet.
    #[must_use]
    pub fn brings(&self) -> Vec<std::net::IpAddr> {
        match self {
            Self::AddServer { server, .. } => vec![server.address],
            Self::Replace(desired) => {
                let servers = desired.services.iter().flat_map(|service| &service.servers);
                servers.map(|server| server.id.address).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn find<'a>(desired: &'a Desired, service: &ServiceRef) -> Result<&'a Service, ChangeError> {
    let found = desired.services.find(service);
    found.ok_or_else(|| ChangeError::no_such_service(service, desired))
}

fn server_place(service: &Service, server: Endpoint) -> Result<usize, ChangeError> {
    let wanted = server.of(service.id);
    let place = service.servers.iter().position(|s| s.id == wanted);
    place.ok_or_else(|| ChangeError::NoSuchServer {
        service: service.id,
        wanted,
        there: There::of(
            service.servers.iter().map(|s| s.id.to_string()),
            service.servers.len(),
        ),
    })
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

/// What was there before some changes: enough to go back, and to tell what differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Undo {
    /// Each service that was touched, as it was before the first change, with its place; in the
    /// order of touching.
    services: Vec<(ServiceId, Option<(u64, Service)>)>,
    /// Where a service is in `services`.
    touched: HashMap<ServiceId, usize>,
    timeouts: Option<Timeouts>,
    /// All that there was, where all was replaced. Then the changes after that are not noted one
    /// by one.
    all: Option<Box<Desired>>,
    zeroed: HashSet<ServiceId>,
    all_zeroed: bool,
}

impl Undo {
    /// The services that may differ from before.
    #[must_use]
    pub fn touched(&self, desired: &Desired) -> Vec<ServiceId> {
        let Some(before) = &self.all else {
            return self.services.iter().map(|(id, _)| *id).collect();
        };
        let differs = |id: &ServiceId| before.services.get(*id) != desired.services.get(*id);
        let gone = before.services.iter().map(|service| service.id);
        let gone = gone.filter(|id| desired.services.get(*id).is_none());
        let there = desired.services.iter().map(|service| service.id);
        gone.chain(there.filter(differs)).collect()
    }

    /// A service as it was before.
    #[must_use]
    pub fn before<'a>(&'a self, id: ServiceId, desired: &'a Desired) -> Option<&'a Service> {
        if let Some(before) = &self.all {
            return before.services.get(id);
        }
        match self.touched.get(&id) {
            Some(&at) => self.services[at].1.as_ref().map(|(_, service)| service),
            None => desired.services.get(id),
        }
    }

    /// What the timeouts were, where they were changed.
    #[must_use]
    pub fn timeouts_before(&self) -> Option<&Timeouts> {
        self.timeouts.as_ref()
    }

    /// All that there was, where all was replaced.
    #[must_use]
    pub fn all_before(&self) -> Option<&Desired> {
        self.all.as_deref()
    }

    /// The services whose counters are to be shown from here on.
    #[must_use]
    pub fn zeroed(&self, desired: &Desired) -> Vec<ServiceId> {
        if self.zeroed.is_empty() && !self.all_zeroed {
            return Vec::new();
        }
        let all = desired.services.iter().map(|service| service.id);
        all.filter(|id| self.all_zeroed || self.zeroed.contains(id))
            .collect()
    }

    /// True where nothing differs from before, and no counter is to be zeroed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.timeouts.is_none()
            && self.all.is_none()
            && self.zeroed.is_empty()
            && !self.all_zeroed
    }

    /// Makes everything what it was before.
    pub fn revert(self, desired: &mut Desired) {
        if let Some(before) = self.all {
            *desired = *before;
            return;
        }
        for (id, before) in self.services {
            match before {
                Some((place, service)) => {
                    desired.services.put_at(place, service);
                }
                None => {
                    desired.services.remove(id);
                }
            }
        }
        if let Some(timeouts) = self.timeouts {
            desired.timeouts = timeouts;
        }
    }

    /// Notes a service that is about to change.
    fn keep(&mut self, desired: &Desired, id: ServiceId) {
        self.note(id, || {
            let place = desired.services.place(id)?;
            Some((place, desired.services.get(id)?.clone()))
        });
    }

    /// Removes a service and notes it.
    fn remove(&mut self, desired: &mut Desired, id: ServiceId) {
        let place = desired.services.place(id);
        let removed = desired.services.remove(id);
        self.note(id, || place.zip(removed));
    }

    /// `before` is asked for only where this is the first change of the service.
    fn note(&mut self, id: ServiceId, before: impl FnOnce() -> Option<(u64, Service)>) {
        if self.all.is_none()
            && let Entry::Vacant(new) = self.touched.entry(id)
        {
            new.insert(self.services.len());
            self.services.push((id, before()));
        }
    }

    fn all(&mut self, mut before: Desired) {
        if self.all.is_none() {
            // What earlier changes touched is part of "before".
            let earlier = std::mem::take(self);
            let zeroed = earlier.zeroed.clone();
            let all_zeroed = earlier.all_zeroed;
            earlier.revert(&mut before);
            *self = Self {
                all: Some(Box::new(before)),
                zeroed,
                all_zeroed,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        difference, strategies,
        values::{Method, Scheduler, Value},
    };
    use proptest::{collection, prelude::*};

    fn desired() -> Desired {
        let server = |id: &str, forward| Server {
            id: id.parse().unwrap(),
            options: ServerOptions {
                forward,
                ..ServerOptions::default()
            },
        };
        let mut web = Service::new("tcp/192.0.2.1:80".parse().unwrap());
        web.options.name = Some("web".parse().unwrap());
        web.servers = vec![
            server("10.0.0.1:80", None),
            server("10.0.0.2:80", Some(Method::Nat)),
        ];
        let dns = Service::new("udp/192.0.2.1:53".parse().unwrap());
        Desired {
            services: [web, dns].into_iter().collect(),
            ..Desired::default()
        }
    }

    fn web() -> ServiceRef {
        "web".parse().unwrap()
    }

    fn add(server: &str, end: End) -> Change {
        Change::AddServer {
            service: web(),
            server: server.parse().unwrap(),
            options: ServerOptions::default(),
            end,
        }
    }

    fn patch<T: crate::Options>(words: &[(&str, &str)]) -> Patch {
        let mut patch = Patch::default();
        for (key, word) in words {
            patch.word::<T>(key, word).unwrap();
        }
        patch
    }

    fn set_server(words: &[(&str, &str)]) -> Change {
        Change::SetServer {
            service: web(),
            server: "10.0.0.1".parse().unwrap(),
            set: patch::<ServerOptions>(words),
        }
    }

    fn set_service(words: &[(&str, &str)]) -> Change {
        Change::SetService {
            service: web(),
            set: patch::<ServiceOptions>(words),
        }
    }

    fn made(change: &Change) -> Desired {
        let mut desired = desired();
        change.make(&mut desired, &mut Undo::default()).unwrap();
        desired
    }

    fn refused(change: &Change) -> ChangeError {
        let mut after = desired();
        let error = change.make(&mut after, &mut Undo::default()).unwrap_err();
        assert_eq!(
            after,
            desired(),
            "{change:?} was refused and changed something"
        );
        error
    }

    fn servers(desired: &Desired) -> Vec<String> {
        let web = desired.services.find(&web()).unwrap();
        web.servers
            .iter()
            .map(|s| format!("{} {} {}", s.id, s.options.weight, web.method(s)))
            .collect()
    }

    #[test]
    fn a_new_server_comes_first_or_last() {
        let first = |change| servers(&made(&change))[0].clone();
        assert_eq!(first(add("10.0.0.3", End::Head)), "10.0.0.3:80 1 dr");
        assert_eq!(first(add("10.0.0.3", End::Tail)), "10.0.0.1:80 1 dr");
    }

    #[test]
    fn what_exists_is_not_added_and_what_does_not_exist_is_not_changed() {
        let id: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
        let again = Change::AddService {
            id,
            options: ServiceOptions::default(),
        };
        assert_eq!(refused(&again), ChangeError::ServiceExists(id));
        assert_eq!(refused(&again).refusal(), Refusal::Exists);
        let again = refused(&add("10.0.0.1", End::Tail));
        assert!(matches!(again, ChangeError::ServerExists(..)));
        let gone = Change::DeleteServer {
            service: web(),
            server: "10.0.0.9".parse().unwrap(),
        };
        assert_eq!(
            refused(&gone).to_string(),
            "no such server in service tcp/192.0.2.1:80: 10.0.0.9:80; \
             there are: 10.0.0.1:80, 10.0.0.2:80"
        );
        let gone = Change::DeleteService {
            service: "mail".parse().unwrap(),
        };
        assert_eq!(
            refused(&gone).to_string(),
            "no such service: mail; there are: tcp/192.0.2.1:80 (web), udp/192.0.2.1:53"
        );
        assert_eq!(refused(&gone).refusal(), Refusal::NoService);
    }

    #[test]
    fn of_many_services_the_first_are_named_and_the_others_counted() {
        let services =
            (0..1000).map(|n| Service::new(format!("tcp/192.0.2.1:{}", n + 1).parse().unwrap()));
        let mut desired = Desired {
            services: services.collect(),
            ..Desired::default()
        };
        let gone = Change::DeleteService {
            service: "mail".parse().unwrap(),
        };
        let error = gone.make(&mut desired, &mut Undo::default()).unwrap_err();
        assert!(
            error.to_string().ends_with("192.0.2.1:10 and 990 more"),
            "{error}"
        );
    }

    #[test]
    fn a_drained_server_keeps_its_place() {
        let drained = servers(&made(&set_server(&[("weight", "0")])));
        assert_eq!(drained, ["10.0.0.1:80 0 dr", "10.0.0.2:80 1 nat"]);
    }

    #[test]
    fn servers_follow_their_service_to_another_method() {
        let moved = made(&set_service(&[("forward", "tun")]));
        assert_eq!(servers(&moved), ["10.0.0.1:80 1 tun", "10.0.0.2:80 1 nat"]);
        let mut mapped = made(&set_service(&[("forward", "nat")]));
        let undo = &mut Undo::default();
        add("10.0.0.3:8080", End::Tail)
            .make(&mut mapped, undo)
            .unwrap();
        let fault = set_service(&[("forward", "dr")]).make(&mut mapped, undo);
        let fault = fault.unwrap_err().to_string();
        assert!(fault.starts_with("server 10.0.0.3:8080: port 8080 is not the service's"));
    }

    #[test]
    fn a_server_with_its_services_method_does_not_name_it() {
        let said = made(&set_server(&[("forward", "dr")]));
        assert_eq!(said, desired());
    }

    #[test]
    fn changes_obey_the_rules_of_files() {
        let why = |change| refused(&change).to_string();
        assert!(why(add("10.0.0.3:8080", End::Head)).contains("only forward `nat`"));
        assert!(why(add("192.0.2.1", End::Head)).contains("own address"));
        let weight = refused(&set_server(&[("weight", "65536")]));
        assert!(weight.to_string().contains("from 0 to 65535"));
        assert_eq!(weight.refusal(), Refusal::OutOfRange);
        let limits = refused(&set_server(&[("lower", "5")]));
        assert_eq!(limits.refusal(), Refusal::OutOfRange);
        let limits = refused(&set_server(&[("upper", "5")]));
        assert_eq!(limits.refusal(), Refusal::NoOption);
        assert!(why(set_service(&[("scheduler", "sed")])).contains("does not have yet"));
    }

    #[test]
    fn every_change_can_be_undone_and_knows_what_it_touched() {
        let id: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
        let new: ServiceId = "tcp/192.0.2.2:80".parse().unwrap();
        let other: ServiceId = "udp/192.0.2.1:53".parse().unwrap();
        let server = "10.0.0.1".parse().unwrap();
        for (change, touched) in [
            (
                Change::AddService {
                    id: new,
                    options: ServiceOptions::default(),
                },
                vec![new],
            ),
            (set_service(&[("name", "www")]), vec![id]),
            (Change::DeleteService { service: web() }, vec![id]),
            (Change::Clear, vec![id, other]),
            (add("10.0.0.3", End::Head), vec![id]),
            (set_server(&[("weight", "5")]), vec![id]),
            (
                Change::DeleteServer {
                    service: web(),
                    server,
                },
                vec![id],
            ),
            (
                Change::SetTimeouts {
                    set: patch::<Timeouts>(&[("udp", "30s")]),
                },
                vec![],
            ),
            (Change::Replace(Box::default()), vec![id, other]),
        ] {
            let (mut after, mut undo) = (desired(), Undo::default());
            change.make(&mut after, &mut undo).unwrap();
            assert_ne!(after, desired(), "{change:?}");
            assert_eq!(undo.touched(&after), touched, "{change:?}");
            assert_eq!(undo.before(id, &after), desired().services.get(id));
            undo.revert(&mut after);
            assert_eq!(after, desired(), "{change:?}");
        }
    }

    #[test]
    fn of_several_things_that_are_wrong_the_one_is_named_that_the_kernel_names() {
        use Refusal::{Exists, Invalid, NoFamily, NoOption, NoService, NotFound, OutOfRange};
        let add_service = |id: &str, words| Change::AddService {
            id: id.parse().unwrap(),
            options: {
                let mut options = ServiceOptions::default();
                patch::<ServiceOptions>(words).put(&mut options).unwrap();
                options
            },
        };
        let unknown = |id: &str| Change::AddService {
            id: id.parse().unwrap(),
            options: ServiceOptions {
                scheduler: Scheduler::named("nosuch"),
                persistence: Value::from_text("60s").unwrap(),
                ..ServiceOptions::default()
            },
        };
        let set = |server: &str, words| Change::SetServer {
            service: web(),
            server: server.parse().unwrap(),
            set: patch::<ServerOptions>(words),
        };
        let add = |server: &str, words| Change::AddServer {
            service: web(),
            server: server.parse().unwrap(),
            options: {
                let mut options = ServerOptions::default();
                patch::<ServerOptions>(words).put(&mut options).unwrap();
                options
            },
            end: End::Head,
        };
        let sip = &[("persistence", "60s"), ("persistence_engine", "sip")];
        let heavy = &[("weight", "65536"), ("upper", "0"), ("lower", "0")];
        let crossed = &[("weight", "1"), ("upper", "1"), ("lower", "2")];
        let limited = &[("weight", "1"), ("upper", "5"), ("lower", "0")];
        for (change, refusal) in [
            // A service that exists, then what it is, then the scheduler and the engine, then
            // other options, then the address.
            (unknown("tcp/192.0.2.1:80"), Exists),
            (unknown("tcp/[2001:db8::1]:80"), NoFamily),
            (unknown("mark/1"), NoOption),
            (unknown("tcp/224.0.0.1:80"), NotFound),
            (add_service("tcp/192.0.2.1:0", sip), NotFound),
            (add_service("tcp/192.0.2.1:0", &sip[..1]), NoOption),
            (add_service("tcp/224.0.0.1:80", &sip[..1]), NoOption),
            (add_service("tcp/224.0.0.1:80", &[]), Invalid),
            // A service's name is looked for before anything of it is judged.
            (
                Change::SetService {
                    service: "mark/1".parse().unwrap(),
                    set: patch::<ServiceOptions>(sip),
                },
                NoService,
            ),
            (set_service(sip), NotFound),
            // The range of numbers, then whether the server exists, then options, then the
            // address.
            (add("10.0.0.1", heavy), OutOfRange),
            (add("2001:db8::1", crossed), OutOfRange),
            (add("2001:db8::1", limited), NoFamily),
            (add("10.0.0.1", limited), Exists),
            (add("239.1.1.1", limited), NoOption),
            (add("239.1.1.1", &[]), Invalid),
            (set("10.0.0.9", heavy), OutOfRange),
            (set("10.0.0.9", crossed), OutOfRange),
            (set("10.0.0.9", limited), NotFound),
            (set("10.0.0.1", limited), NoOption),
            // The limits that a server has count, too, where not all are given: so it has to be
            // there.
            (set("10.0.0.9", &crossed[2..]), NotFound),
            (set("10.0.0.1", &crossed[2..]), OutOfRange),
        ] {
            assert_eq!(refused(&change).refusal(), refusal, "{change:?}");
        }
    }

    #[test]
    fn what_is_zeroed_is_what_there_is_in_the_end() {
        let (mut desired, mut undo) = (desired(), Undo::default());
        let mut make = |change: Change, undo: &mut Undo| {
            change.make(&mut desired, undo).unwrap();
            undo.zeroed(&desired).len()
        };
        let zero = |service| Change::Zero { service };
        assert_eq!(make(zero(Some(web())), &mut undo), 1);
        assert!(!undo.is_empty());
        assert_eq!(make(Change::DeleteService { service: web() }, &mut undo), 0);
        assert_eq!(make(zero(None), &mut undo), 1);
        assert_eq!(make(Change::Clear, &mut undo), 0);
    }

    #[test]
    fn a_name_belongs_to_one_service() {
        let taken = Change::SetService {
            service: "udp/192.0.2.1:53".parse().unwrap(),
            set: patch::<ServiceOptions>(&[("name", "web")]),
        };
        assert!(matches!(refused(&taken), ChangeError::NameTaken(..)));
        let same = made(&set_service(&[("name", "web")]));
        assert_eq!(same, desired());
        let away = made(&set_service(&[("name", "")]));
        assert!(away.services.find(&web()).is_none());
    }

    #[test]
    fn timeouts_that_are_not_named_stay() {
        let set = patch::<Timeouts>(&[("udp", "30s")]);
        let timeouts = made(&Change::SetTimeouts { set }).timeouts;
        assert_eq!((timeouts.tcp.0, timeouts.udp.0), (900, 30));
    }

    #[test]
    fn a_server_takes_few_bytes_on_the_socket() {
        let change = Change::AddServer {
            service: "tcp/10.200.100.100:80".parse().unwrap(),
            server: "10.200.200.200:80".parse().unwrap(),
            options: ServerOptions {
                forward: Some(Method::Tun),
                ..ServerOptions::default()
            },
            end: End::Head,
        };
        let json = serde_json::to_string(&change).unwrap();
        assert!(json.len() < 125, "{json}");
        assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
    }

    proptest! {
        #[test]
        fn what_was_made_can_be_undone_and_is_told_by_its_differences(
            before in strategies::desired(),
            changes in collection::vec(strategies::change(), 0..20),
        ) {
            let (mut after, mut undo) = (before.clone(), Undo::default());
            for change in &changes {
                let as_it_was = after.clone();
                if change.make(&mut after, &mut undo).is_err() {
                    prop_assert_eq!(&after, &as_it_was);
                }
            }
            for service in after.services.iter() {
                let touched = undo.touched(&after).contains(&service.id);
                prop_assert!(touched || before.services.get(service.id) == Some(service));
            }
            for service in before.services.iter() {
                prop_assert_eq!(undo.before(service.id, &after), Some(service));
            }
            let mut told = difference::between(&before, &after);
            let mut of_undo = difference::since(&undo, &after);
            let order = |line: &String| !line.contains(" in the order ");
            told.retain(order);
            of_undo.retain(order);
            told.sort();
            of_undo.sort();
            prop_assert_eq!(told, of_undo);
            undo.revert(&mut after);
            prop_assert_eq!(after, before);
        }

        #[test]
        fn changes_travel_as_json(change in strategies::change()) {
            let json = serde_json::to_string(&change).unwrap();
            prop_assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
        }
    }
}
