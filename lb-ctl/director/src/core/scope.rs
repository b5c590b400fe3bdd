//! What a request may touch: two requests that may touch the same keep their order.

use std::{collections::HashSet, net::IpAddr};

use lb_model::{Change, Desired, Name, ServiceId, ServiceOptions, ServiceRef, options::Options};

/// What a request may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anything.
    All,
    /// These parts of what is desired.
    Parts {
        /// Parts that no other request may touch at the same time.
        alone: HashSet<Part>,
        /// Services of which single servers are touched: others may touch other servers.
        shared: HashSet<Part>,
    },
}

/// A part of what is desired.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A service, whether it exists or not.
    Service(ServiceId),
    /// Whichever service has this name.
    Name(Name),
    /// The servers of a service that have this address.
    Servers(ServiceRef, IpAddr),
    /// The end of a service's list of servers, to which new ones are added.
    End(ServiceRef),
    /// The timeouts.
    Timeouts,
    /// What the daemon's own file says.
    File,
}

impl Scope {
    /// One part, which no other request may touch.
    #[must_use]
    pub fn part(part: Part) -> Self {
        Self::Parts {
            alone: [part].into(),
            shared: HashSet::new(),
        }
    }

    /// What these changes may touch.
    #[must_use]
    pub fn of(changes: &[Change], desired: &Desired) -> Self {
        let (mut alone, mut shared) = (HashSet::new(), HashSet::new());
        for change in changes {
            match change {
                Change::AddService { id, options } => {
                    alone.insert(Part::Service(*id));
                    alone.extend(options.name.clone().map(Part::Name));
                }
                Change::SetService { service, set } => {
                    alone.extend(calls(service, desired));
                    let mut options = ServiceOptions::default();
                    if let (Some(row), Some(name)) = (ServiceOptions::row("name"), set.get("name"))
                        && (row.put)(&mut options, name).is_ok()
                    {
                        alone.extend(options.name.map(Part::Name));
                    }
                }
                Change::DeleteService { service } => alone.extend(calls(service, desired)),
                Change::AddServer {
                    service, server, ..
                } => {
                    shared.extend(calls(service, desired));
                    let service = resolved(service, desired);
                    alone.insert(Part::Servers(service.clone(), server.address));
                    alone.insert(Part::End(service));
                }
                Change::SetServer {
                    service, server, ..
                }
                | Change::DeleteServer { service, server } => {
                    shared.extend(calls(service, desired));
                    let service = resolved(service, desired);
                    alone.insert(Part::Servers(service, server.address));
                }
                Change::SetTimeouts { .. } => {
                    alone.insert(Part::Timeouts);
                }
                Change::Zero {
                    service: Some(service),
                } => shared.extend(calls(service, desired)),
                // Touches nothing of others: a service that is added later has counters of 0 anyway.
                Change::Zero { service: None }
                | Change::StartSync { .. }
                | Change::StopSync { .. } => {}
                Change::Clear | Change::Replace(_) => return Self::All,
            }
        }
        Self::Parts { alone, shared }
    }

    /// True if both may touch the same.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::Parts { alone, shared }, Self::All)
            | (Self::All, Self::Parts { alone, shared }) => !alone.is_empty() || !shared.is_empty(),
            (
                Self::Parts { alone, shared },
                Self::Parts {
                    alone: other,
                    shared: others,
                },
            ) => {
                !alone.is_disjoint(other)
                    || !alone.is_disjoint(others)
                    || !shared.is_disjoint(other)
            }
        }
    }
}

/// All parts that stand for a service: its id, its name, and as the request calls it.
fn calls(service: &ServiceRef, desired: &Desired) -> impl Iterator<Item = Part> {
    let given = match service {
        ServiceRef::Id(id) => Part::Service(*id),
        ServiceRef::Name(name) => Part::Name(name.clone()),
    };
    let found = desired.services.find(service);
    let id = found.map(|found| Part::Service(found.id));
    let name = found.and_then(|found| found.options.name.clone());
    [given].into_iter().chain(id).chain(name.map(Part::Name))
}

fn resolved(service: &ServiceRef, desired: &Desired) -> ServiceRef {
    let found = desired.services.find(service);
    found.map_or_else(|| service.clone(), |found| found.id.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::{End, Service};

    fn add_server(service: &str) -> Change {
        Change::AddServer {
            service: service.parse().unwrap(),
            server: "10.0.0.1".parse().unwrap(),
            options: Default::default(),
            end: End::Tail,
        }
    }

    #[test]
    fn changes_meet_where_they_may_touch_the_same_service_whatever_it_is_called() {
        let mut web = Service::new("tcp/192.0.2.1:80".parse().unwrap());
        web.options.name = Some("web".parse().unwrap());
        let desired = Desired {
            services: [web].into_iter().collect(),
            ..Desired::default()
        };
        let scope = |change: Change| Scope::of(&[change], &desired);
        let by_id = scope(add_server("tcp/192.0.2.1:80"));
        assert!(by_id.meets(&scope(add_server("web"))));
        assert!(!by_id.meets(&scope(add_server("tcp/192.0.2.1:81"))));
        // Two new servers keep their order; another server can go meanwhile.
        let delete = |server: &str| Change::DeleteServer {
            service: "web".parse().unwrap(),
            server: server.parse().unwrap(),
        };
        assert!(by_id.meets(&scope(delete("10.0.0.1"))));
        assert!(!by_id.meets(&scope(delete("10.0.0.2"))));
        assert!(by_id.meets(&scope(Change::DeleteService {
            service: "web".parse().unwrap(),
        })));
        assert!(by_id.meets(&scope(Change::Clear)));
        assert!(!by_id.meets(&scope(Change::Zero { service: None })));
        // A service that is to be called so, and one that is called so later.
        let new = scope(Change::AddService {
            id: "tcp/192.0.2.9:80".parse().unwrap(),
            options: ServiceOptions {
                name: Some("mail".parse().unwrap()),
                ..ServiceOptions::default()
            },
        });
        assert!(new.meets(&scope(add_server("mail"))));
    }
}
