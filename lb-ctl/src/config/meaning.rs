//! What the values of a configuration mean, and every one of them that makes no sense.

use std::{collections::HashMap, hash::Hash};

use super::{
    places::child,
    written::{self, Scalar},
};
use crate::{
    desired::{
        Desired, Method, Protocol, Scheduler, Server, ServerId, Service, ServiceId, Timeouts,
    },
    rules::{self, Fault},
    spelling::{self, Named},
};

/// Most faults of one file that are told apart: nobody reads more.
const MAX_FAULTS: usize = 100;

/// What a file means.
pub struct Reading {
    /// Whole only where there are no faults.
    pub desired: Desired,
    /// Path and fault, the first [`MAX_FAULTS`].
    pub faults: Vec<(String, Fault)>,
    /// How many there are besides.
    pub more: usize,
}

/// Goes from what is written to what it means, noting every fault on the way.
pub fn read(document: written::Document) -> Reading {
    let mut faults = Faults::default();
    let desired = faults.document(document);
    Reading {
        desired,
        faults: faults.first,
        more: faults.more,
    }
}

/// What is wrong, as far as the reader has come.
#[derive(Default)]
struct Faults {
    first: Vec<(String, Fault)>,
    more: usize,
}

impl Faults {
    fn document(&mut self, written: written::Document) -> Desired {
        let defaults = Desired::default();
        let interfaces = self.interfaces(written.interfaces.0);
        let connections = self
            .value(
                "connections",
                &written.connections,
                Some(defaults.connections),
                connections,
            )
            .unwrap_or(defaults.connections);
        let timeouts = self.timeouts(&written.timeouts.unwrap_or_default(), defaults.timeouts);
        let services: Vec<_> = written
            .services
            .0
            .into_iter()
            .enumerate()
            .map(|(place, written)| self.service(&format!("services[{place}]"), &written))
            .collect();
        self.repeated(
            services.iter().map(|s| s.as_ref().map(|s| s.id)),
            |place| format!("services[{place}].address"),
            |id, first| format!("{id} is a service already: services[{first}]"),
        );
        self.repeated(
            services.iter().map(|s| s.as_ref()?.name.as_deref()),
            |place| format!("services[{place}].name"),
            |name, first| format!("`{name}` is the name of services[{first}] already"),
        );
        Desired {
            interfaces,
            connections,
            timeouts,
            services: services.into_iter().flatten().collect(),
        }
    }

    fn interfaces(&mut self, written: Vec<Scalar>) -> Vec<String> {
        let interfaces: Vec<_> = written
            .into_iter()
            .enumerate()
            .map(|(place, name)| {
                self.word(&format!("interfaces[{place}]"), &name, rules::interface)
            })
            .collect();
        self.repeated(
            interfaces.iter().map(Option::as_deref),
            |place| format!("interfaces[{place}]"),
            |name, first| format!("{name} is interfaces[{first}] already"),
        );
        interfaces.into_iter().flatten().collect()
    }

    fn timeouts(&mut self, written: &written::Timeouts, defaults: Timeouts) -> Timeouts {
        let mut seconds = |key, written, default| {
            self.value(key, written, Some(default), spelling::seconds)
                .unwrap_or(default)
        };
        Timeouts {
            tcp: seconds("timeouts.tcp", &written.tcp, defaults.tcp),
            tcpfin: seconds("timeouts.tcpfin", &written.tcpfin, defaults.tcpfin),
            udp: seconds("timeouts.udp", &written.udp, defaults.udp),
        }
    }

    /// Nothing where the service's identity is in doubt.
    fn service(&mut self, path: &str, written: &written::Service) -> Option<Service> {
        let at = |key| child(path, key);
        let protocol = self.value(
            &at("protocol"),
            &written.protocol,
            Some(Protocol::Tcp),
            Protocol::parse,
        );
        let endpoint = self.value(
            &at("address"),
            &written.address,
            None,
            spelling::endpoint_with_port,
        );
        let id = protocol
            .zip(endpoint)
            .map(|(protocol, (address, port))| ServiceId {
                protocol,
                address,
                port,
            });
        if let Some(id) = id {
            self.check(&at("address"), rules::service(id));
        }
        let name = self.word(&at("name"), &written.name, rules::name);
        let scheduler = self.value(
            &at("scheduler"),
            &written.scheduler,
            Some(Scheduler::Wlc),
            Scheduler::parse,
        );
        let forward = self.value(
            &at("forward"),
            &written.forward,
            Some(Method::Dr),
            Method::parse,
        );
        if written.persistence.is_some() {
            self.check(
                &at("persistence"),
                Err(Fault::new(
                    "this director does not have persistence yet: leave it out",
                )),
            );
        }
        let servers = self.servers(&at("servers"), &written.servers.0, id, forward);
        Some(Service {
            id: id?,
            name,
            scheduler: scheduler?,
            forward: forward?,
            servers,
        })
    }

    fn servers(
        &mut self,
        path: &str,
        written: &[written::Server],
        service: Option<ServiceId>,
        forward: Option<Method>,
    ) -> Vec<Server> {
        self.check(path, rules::server_count(written.len()));
        let servers: Vec<_> = written
            .iter()
            .enumerate()
            .map(|(place, written)| {
                self.server(&format!("{path}[{place}]"), written, service, forward)
            })
            .collect();
        self.repeated(
            servers.iter().map(|s| s.map(|s| s.id)),
            |place| format!("{path}[{place}].address"),
            |id, first| format!("{id} is a server of this service already: {path}[{first}]"),
        );
        servers.into_iter().flatten().collect()
    }

    fn server(
        &mut self,
        path: &str,
        written: &written::Server,
        service: Option<ServiceId>,
        forward: Option<Method>,
    ) -> Option<Server> {
        let at = |key| child(path, key);
        let endpoint = self.value(&at("address"), &written.address, None, spelling::endpoint);
        let weight = self.value(
            &at("weight"),
            &written.weight,
            Some(rules::DEFAULT_WEIGHT),
            weight,
        );
        let method = match &written.forward {
            Scalar::Absent => forward,
            forward => self.value(&at("forward"), forward, None, Method::parse),
        };
        let (service, (address, port)) = (service?, endpoint?);
        let server = Server {
            id: ServerId {
                address,
                port: port.unwrap_or(service.port),
            },
            weight: weight?,
            method: method?,
        };
        self.check(&at("address"), rules::server(service, &server));
        Some(server)
    }

    /// What a scalar means; `default` is for keys that may be left out.
    fn value<T>(
        &mut self,
        path: &str,
        scalar: &Scalar,
        default: Option<T>,
        meaning: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let fault = match scalar {
            Scalar::Absent => return default,
            Scalar::Empty => Fault::new("it has no value: give one, or leave the key out"),
            Scalar::Text(text) | Scalar::Number(text) => match meaning(text) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            },
        };
        self.check(path, Err(fault));
        None
    }

    /// A scalar that is a name.
    fn word(
        &mut self,
        path: &str,
        scalar: &Scalar,
        rule: impl Fn(&str) -> Result<(), Fault>,
    ) -> Option<String> {
        if let Scalar::Number(_) = scalar {
            let fault = "a number or truth value cannot be a name: put it in quotes";
            self.check(path, Err(Fault::new(fault)));
            return None;
        }
        self.value(path, scalar, None, |name| {
            rule(name).map(|()| name.to_owned())
        })
    }

    fn check(&mut self, path: &str, result: Result<(), Fault>) {
        let Err(fault) = result else { return };
        if self.first.len() < MAX_FAULTS {
            self.first.push((path.to_owned(), fault));
        } else {
            self.more += 1;
        }
    }

    /// Notes every item that stands further up in the list already.
    fn repeated<K: Copy + Eq + Hash>(
        &mut self,
        items: impl Iterator<Item = Option<K>>,
        path: impl Fn(usize) -> String,
        message: impl Fn(K, usize) -> String,
    ) {
        let mut first_places = HashMap::new();
        for (place, item) in items.enumerate() {
            let Some(item) = item else { continue };
            let first = *first_places.entry(item).or_insert(place);
            if first != place {
                self.check(&path(place), Err(Fault::new(message(item, first))));
            }
        }
    }
}

fn connections(text: &str) -> Result<u32, Fault> {
    spelling::number(text, rules::CONNECTIONS)
}

fn weight(text: &str) -> Result<u32, Fault> {
    spelling::number(text, rules::WEIGHTS)
}
