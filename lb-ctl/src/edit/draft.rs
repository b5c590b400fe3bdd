//! A configuration on which edits are made, one after the other.

use std::collections::HashMap;

use super::{Edit, EditError, End, Endpoint, Rename};
use crate::{
    desired::{Desired, Method, Server, Service, ServiceId, ServiceRef},
    rules::{self, Fault},
};

/// A configuration that is being edited. An edit that is not made leaves it as it was.
pub struct Draft {
    /// Without its services.
    rest: Desired,
    /// What was deleted leaves its place empty, so that places stay what they are.
    services: Vec<Option<Service>>,
    /// Where each service is, if many are to be looked up.
    places: Option<HashMap<ServiceId, usize>>,
}

impl Draft {
    /// For one edit, or a few: services are looked up one by one.
    #[must_use]
    pub fn of(mut desired: Desired) -> Self {
        let services = std::mem::take(&mut desired.services);
        Self {
            rest: desired,
            services: services.into_iter().map(Some).collect(),
            places: None,
        }
    }

    /// For as many as one likes.
    #[must_use]
    pub fn indexed(desired: Desired) -> Self {
        let mut draft = Self::of(desired);
        let ids = draft.services.iter().flatten().map(|service| service.id);
        draft.places = Some(ids.zip(0..).collect());
        draft
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn finish(self) -> Desired {
        Desired {
            services: self.services.into_iter().flatten().collect(),
            ..self.rest
        }
    }

    /// What a configuration has besides services.
    pub fn rest(&mut self) -> &mut Desired {
        &mut self.rest
    }

    /// Every service.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().flatten()
    }

    /// A service, if there is one.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services[self.place(id)?].as_ref()
    }

    /// Takes all services away.
    pub fn clear(&mut self) {
        self.services.clear();
        if let Some(places) = &mut self.places {
            places.clear();
        }
    }

    /// Makes an edit.
    pub fn make(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::AddService {
                id,
                name,
                scheduler,
                forward,
            } => {
                rules::service(*id)?;
                if self.place(*id).is_some() {
                    return Err(EditError::ServiceExists(*id));
                }
                if let Some(name) = name {
                    self.free_name(name)?;
                }
                if let Some(places) = &mut self.places {
                    places.insert(*id, self.services.len());
                }
                self.services.push(Some(Service {
                    id: *id,
                    name: name.clone(),
                    scheduler: *scheduler,
                    forward: *forward,
                    servers: Vec::new(),
                }));
            }
            Edit::SetService {
                service,
                name,
                scheduler,
                forward,
            } => {
                let mut changed = self.find(service)?.clone();
                if let Rename::To(name) = name
                    && changed.name.as_ref() != Some(name)
                {
                    self.free_name(name)?;
                }
                match name {
                    Rename::Keep => {}
                    Rename::Remove => changed.name = None,
                    Rename::To(name) => changed.name = Some(name.clone()),
                }
                changed.scheduler = scheduler.unwrap_or(changed.scheduler);
                if let Some(forward) = *forward {
                    set_forward(&mut changed, forward)?;
                }
                *self.find(service)? = changed;
            }
            Edit::DeleteService { service } => {
                let id = self.find(service)?.id;
                if let Some(place) = self.place(id) {
                    self.services[place] = None;
                }
                if let Some(places) = &mut self.places {
                    places.remove(&id);
                }
            }
            Edit::AddServer {
                service,
                server,
                weight,
                forward,
                end,
            } => {
                let service = self.find(service)?;
                let server = Server {
                    id: server.of(service.id),
                    weight: *weight,
                    method: forward.unwrap_or(service.forward),
                };
                rules::server(service.id, &server)?;
                if service.servers.iter().any(|s| s.id == server.id) {
                    return Err(EditError::ServerExists(service.id, server.id));
                }
                rules::server_count(service.servers.len() + 1)?;
                match end {
                    End::Head => service.servers.insert(0, server),
                    End::Tail => service.servers.push(server),
                }
            }
            Edit::SetServer {
                service,
                server,
                weight,
                forward,
            } => {
                let service = self.find(service)?;
                let place = server_place(service, *server)?;
                let mut changed = service.servers[place];
                changed.weight = weight.unwrap_or(changed.weight);
                changed.method = forward.unwrap_or(changed.method);
                rules::server(service.id, &changed)?;
                service.servers[place] = changed;
            }
            Edit::DeleteServer { service, server } => {
                let service = self.find(service)?;
                let place = server_place(service, *server)?;
                service.servers.remove(place);
            }
            Edit::DrainServer { service, server } => {
                let service = self.find(service)?;
                let place = server_place(service, *server)?;
                service.servers[place].weight = 0;
            }
        }
        Ok(())
    }

    fn place(&self, id: ServiceId) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&id).copied(),
            None => {
                let is_it =
                    |service: &Option<Service>| service.as_ref().is_some_and(|s| s.id == id);
                self.services.iter().position(is_it)
            }
        }
    }

    fn find(&mut self, service: &ServiceRef) -> Result<&mut Service, EditError> {
        let place = match service {
            ServiceRef::Id(id) => self.place(*id),
            ServiceRef::Name(_) => {
                let is_it = |s: &Option<Service>| s.as_ref().is_some_and(|s| s.is_called(service));
                self.services.iter().position(is_it)
            }
        };
        if place.is_none() {
            return Err(EditError::no_such_service(service, self.services()));
        }
        place
            .and_then(|place| self.services[place].as_mut())
            .ok_or_else(|| EditError::no_such_service(service, std::iter::empty()))
    }

    fn free_name(&self, name: &str) -> Result<(), EditError> {
        rules::name(name)?;
        let mut services = self.services();
        match services.find(|service| service.name.as_deref() == Some(name)) {
            Some(owner) => Err(EditError::NameTaken(name.to_owned(), owner.id)),
            None => Ok(()),
        }
    }
}

fn server_place(service: &Service, server: Endpoint) -> Result<usize, EditError> {
    let wanted = server.of(service.id);
    let place = service.servers.iter().position(|s| s.id == wanted);
    place.ok_or_else(|| EditError::NoSuchServer {
        service: service.id,
        wanted,
        there: service.servers.iter().map(|s| s.id.to_string()).collect(),
    })
}

fn set_forward(service: &mut Service, forward: Method) -> Result<(), EditError> {
    for server in &mut service.servers {
        if server.method == service.forward {
            server.method = forward;
        }
        rules::server(service.id, server)
            .map_err(|fault| Fault::new(format!("server {}: {fault}", server.id)))?;
    }
    service.forward = forward;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::strategies;
    use crate::edit::tests::edits;
    use proptest::{collection, prelude::*};

    proptest! {
        #[test]
        fn many_edits_do_the_same_as_one_after_the_other(
            before in strategies::desired(),
            edits in collection::vec(edits(), 0..20),
        ) {
            let mut one_by_one = before.clone();
            let mut draft = Draft::indexed(before);
            for edit in &edits {
                let outcome = edit.apply(&one_by_one);
                prop_assert_eq!(draft.make(edit), outcome.as_ref().map(|_| ()).map_err(Clone::clone));
                if let Ok(after) = outcome {
                    one_by_one = after;
                }
            }
            prop_assert_eq!(draft.finish(), one_by_one);
        }
    }
}
