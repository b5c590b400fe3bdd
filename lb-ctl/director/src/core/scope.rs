//! What a request may touch: two requests that may touch the same keep their order.

use std::collections::HashSet;

use lb_model::{Change, Desired, Name, ServiceId, ServiceOptions, ServiceRef, options::Options};

/// What a request may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anything.
    All,
    /// These.
    Parts(HashSet<Part>),
}

/// A part of what is desired.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A service, whether it exists or not.
    Service(ServiceId),
    /// Whichever service has this name.
    Name(Name),
    /// The timeouts.
    Timeouts,
    /// What the daemon's own file says.
    File,
}

impl Scope {
    /// What these changes may touch.
    #[must_use]
    pub fn of(changes: &[Change], desired: &Desired) -> Self {
        let mut parts = HashSet::new();
        for change in changes {
            match change {
                Change::AddService { id, options } => {
                    parts.insert(Part::Service(*id));
                    parts.extend(options.name.clone().map(Part::Name));
                }
                Change::SetService { service, set } => {
                    add(service, desired, &mut parts);
                    let mut options = ServiceOptions::default();
                    if let (Some(row), Some(name)) = (ServiceOptions::row("name"), set.get("name"))
                        && (row.put)(&mut options, name).is_ok()
                    {
                        parts.extend(options.name.map(Part::Name));
                    }
                }
                Change::DeleteService { service }
                | Change::AddServer { service, .. }
                | Change::SetServer { service, .. }
                | Change::DeleteServer { service, .. }
                | Change::Zero {
                    service: Some(service),
                } => add(service, desired, &mut parts),
                Change::SetTimeouts { .. } => {
                    parts.insert(Part::Timeouts);
                }
                // The counters of servers that are yet to come are zero anyway.
                Change::Zero { service: None }
                | Change::StartSync { .. }
                | Change::StopSync { .. } => {}
                Change::Clear | Change::Replace(_) => return Self::All,
            }
        }
        Self::Parts(parts)
    }

    /// True where both may touch the same.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Parts(one), Self::Parts(other)) => !one.is_disjoint(other),
            (Self::Parts(parts), Self::All) | (Self::All, Self::Parts(parts)) => !parts.is_empty(),
            (Self::All, Self::All) => true,
        }
    }
}

/// A service by what it is called, and by what it may be called otherwise.
fn add(service: &ServiceRef, desired: &Desired, parts: &mut HashSet<Part>) {
    match service {
        ServiceRef::Id(id) => parts.insert(Part::Service(*id)),
        ServiceRef::Name(name) => parts.insert(Part::Name(name.clone())),
    };
    if let Some(found) = desired.services.find(service) {
        parts.insert(Part::Service(found.id));
        parts.extend(found.options.name.clone().map(Part::Name));
    }
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
