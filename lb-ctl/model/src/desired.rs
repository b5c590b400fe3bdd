//! All that an operator wants of a director, with an index: finding, adding and removing a
//! service takes the same time whatever their number.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    ids::{ServerId, ServiceId, ServiceRef},
    options::{ServerOptions, ServiceOptions, Timeouts},
    rules,
    values::{Method, Name, Unreachable},
};

/// All that an operator wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Interfaces that the XDP program is attached to.
    pub interfaces: Vec<String>,
    /// Capacity of the connection table.
    pub connections: u32,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
    /// Whether servers that cannot be reached get new connections.
    #[serde(default)]
    pub unreachable: Unreachable,
    /// The services.
    pub services: Services,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its identity.
    pub id: ServiceId,
    /// Its options.
    #[serde(default)]
    pub options: ServiceOptions,
    /// In the order in which they are scheduled.
    #[serde(default)]
    pub servers: Vec<Server>,
}

/// A real server of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its identity.
    pub id: ServerId,
    /// Its options.
    #[serde(default)]
    pub options: ServerOptions,
}

impl Default for Desired {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            connections: rules::DEFAULT_CONNECTIONS,
            timeouts: Timeouts::default(),
            unreachable: Unreachable::default(),
            services: Services::default(),
        }
    }
}

impl Desired {
    /// The same, attached to these interfaces too: those of `lb-ctl run --interface`.
    #[must_use]
    pub fn with_interfaces(mut self, more: &[String]) -> Self {
        for interface in more {
            if !self.interfaces.contains(interface) {
                self.interfaces.push(interface.clone());
            }
        }
        self
    }
}

impl Service {
    /// A service without options or servers.
    #[must_use]
    pub fn new(id: ServiceId) -> Self {
        Self {
            id,
            options: ServiceOptions::default(),
            servers: Vec::new(),
        }
    }

    /// How packets reach one of its servers.
    #[must_use]
    pub fn method(&self, server: &Server) -> Method {
        server.options.forward.unwrap_or(self.options.forward)
    }

    /// One of its servers.
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }

    /// The same service, with no server naming the method that the service has anyway: such a
    /// server follows its service to another method.
    #[must_use]
    pub fn normal(mut self) -> Self {
        for server in &mut self.servers {
            server.follow(self.options.forward);
        }
        self
    }
}

impl Server {
    /// Does not name its method any more where its service has the same.
    pub(crate) fn follow(&mut self, service: Method) {
        if self.options.forward == Some(service) {
            self.options.forward = None;
        }
    }
}

/// Services in the order in which they were added.
///
/// Each has a number, which orders them; two indices find it.
#[derive(Clone, Debug, Default)]
pub struct Services {
    by_number: BTreeMap<u64, Service>,
    numbers: HashMap<ServiceId, u64>,
    names: HashMap<Name, u64>,
    next: u64,
}

impl Services {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.by_number.values()
    }

    /// The one with this identity.
    #[must_use]
    pub fn get(&self, id: ServiceId) -> Option<&Service> {
        self.by_number.get(self.numbers.get(&id)?)
    }

    /// The one that is called so.
    #[must_use]
    pub fn find(&self, service: &ServiceRef) -> Option<&Service> {
        match service {
            ServiceRef::Id(id) => self.get(*id),
            ServiceRef::Name(name) => self.by_number.get(self.names.get(name)?),
        }
    }

    /// Its place among the others: what [`put_at`](Self::put_at) takes.
    #[must_use]
    pub fn place(&self, id: ServiceId) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// Puts a service in the place of the one with its identity, or else after all others. Gives
    /// the one before.
    pub fn put(&mut self, service: Service) -> Option<Service> {
        let place = self.place(service.id).unwrap_or(self.next);
        self.put_at(place, service)
    }

    /// Puts a service at the place that it had before.
    pub fn put_at(&mut self, place: u64, service: Service) -> Option<Service> {
        let before = self.remove(service.id);
        self.next = self.next.max(place + 1);
        self.numbers.insert(service.id, place);
        if let Some(name) = &service.options.name {
            self.names.insert(name.clone(), place);
        }
        self.by_number.insert(place, service);
        before
    }

    /// The servers of a service, to be changed in place.
    pub fn servers_mut(&mut self, id: ServiceId) -> Option<&mut Vec<Server>> {
        let service = self.by_number.get_mut(self.numbers.get(&id)?)?;
        Some(&mut service.servers)
    }

    /// Removes a service.
    pub fn remove(&mut self, id: ServiceId) -> Option<Service> {
        let place = self.numbers.remove(&id)?;
        let service = self.by_number.remove(&place)?;
        if let Some(name) = &service.options.name
            && self.names.get(name) == Some(&place)
        {
            self.names.remove(name);
        }
        Some(service)
    }
}

/// The same services in the same order, whatever their numbers.
impl PartialEq for Services {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        let mut all = Self::default();
        for service in services {
            all.put(service);
        }
        all
    }
}

impl Serialize for Services {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Vec::<Service>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, name: Option<&str>) -> Service {
        let mut service = Service::new(id.parse().unwrap());
        service.options.name = name.map(|name| name.parse().unwrap());
        service
    }

    #[test]
    fn services_keep_their_order_and_their_place() {
        let ids = ["tcp/192.0.2.1:80", "tcp/192.0.2.2:80", "tcp/192.0.2.3:80"];
        let mut services: Services = ids.map(|id| service(id, None)).into_iter().collect();
        let second: ServiceId = ids[1].parse().unwrap();
        let place = services.place(second).unwrap();
        let removed = services.remove(second).unwrap();
        services.put(service("udp/192.0.2.9:53", None));
        services.put_at(place, removed);
        services.put(service(ids[0], Some("first")));
        let order: Vec<_> = services.iter().map(|s| s.id.to_string()).collect();
        assert_eq!(order, [ids[0], ids[1], ids[2], "udp/192.0.2.9:53"]);
    }

    #[test]
    fn names_find_the_services_that_have_them_now() {
        let mut services = Services::default();
        services.put(service("tcp/192.0.2.1:80", Some("web")));
        services.put(service("tcp/192.0.2.1:80", Some("www")));
        let find = |name: &str| {
            services
                .find(&name.parse().unwrap())
                .map(|s| s.id.to_string())
        };
        assert_eq!(find("www").as_deref(), Some("tcp/192.0.2.1:80"));
        assert_eq!(find("web"), None);
    }

    #[test]
    fn interfaces_of_the_command_line_extend_the_files() {
        let desired = Desired {
            interfaces: vec!["eth0".into()],
            ..Desired::default()
        };
        let more = ["eth1".to_owned(), "eth0".to_owned()];
        assert_eq!(desired.with_interfaces(&more).interfaces, ["eth0", "eth1"]);
    }
}
