//! Live edits: what `lb-ctl service` and `lb-ctl server` do to a configuration. Pure.
//!
//! They follow IPVS where it has a rule (what exists is not added, what does not exist is
//! not changed), and obey the same rules as a file.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use self::draft::Draft;
use crate::{
    desired::{Desired, Method, Scheduler, ServerId, Service, ServiceId, ServiceRef},
    rules::Fault,
    spelling::{self, by_name},
};

mod draft;

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// A new service, after the others.
    AddService {
        /// What it is.
        id: ServiceId,
        /// Its name, if any.
        name: Option<String>,
        /// How it chooses a server.
        #[serde(with = "by_name")]
        scheduler: Scheduler,
        /// The method of servers that are added without one.
        #[serde(with = "by_name")]
        forward: Method,
    },
    /// Changes what is given, and keeps the rest.
    SetService {
        /// Which.
        service: ServiceRef,
        /// What becomes of its name.
        #[serde(default)]
        name: Rename,
        /// How it chooses a server.
        #[serde(default, with = "by_name::option")]
        scheduler: Option<Scheduler>,
        /// Servers that have the service's method follow it, as they would in a file.
        #[serde(default, with = "by_name::option")]
        forward: Option<Method>,
    },
    /// Takes a service and its servers away.
    DeleteService {
        /// Which.
        service: ServiceRef,
    },
    /// A new server.
    AddServer {
        /// Of which service.
        service: ServiceRef,
        /// Where it is.
        server: Endpoint,
        /// Its share of new connections.
        weight: u32,
        /// How packets reach it; the service's method where there is none.
        #[serde(default, with = "by_name::option")]
        forward: Option<Method>,
        /// Where in the order in which servers are scheduled.
        #[serde(default)]
        end: End,
    },
    /// Changes what is given, and keeps the rest and the server's place.
    SetServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
        /// Its share of new connections.
        weight: Option<u32>,
        /// How packets reach it.
        #[serde(default, with = "by_name::option")]
        forward: Option<Method>,
    },
    /// Takes a server away.
    DeleteServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
    },
    /// Weight 0: no new connections, those that there are go on.
    DrainServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
    },
}

impl Edit {
    /// The server that it brings, of whose address nothing may be known yet.
    #[must_use]
    pub fn brings(&self) -> Option<Ipv4Addr> {
        match self {
            Self::AddServer { server, .. } => Some(server.address),
            _ => None,
        }
    }
}

/// What becomes of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rename {
    /// It stays.
    #[default]
    Keep,
    /// There is none any more.
    Remove,
    /// It is this.
    To(String),
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

/// A server as it is typed: without a port, it has its service's. Written `192.0.2.1` or
/// `192.0.2.1:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The address.
    pub address: Ipv4Addr,
    /// The port, if given.
    pub port: Option<u16>,
}

impl Edit {
    /// The configuration after this edit.
    pub fn apply(&self, to: &Desired) -> Result<Desired, EditError> {
        let mut draft = Draft::of(to.clone());
        draft.make(self)?;
        Ok(draft.finish())
    }
}

/// Why an edit was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Services are added once.
    #[error("service {0} already exists: `lb-ctl service set` changes it")]
    ServiceExists(ServiceId),
    /// There is none that is called so.
    #[error("no such service: {wanted}; {}", there_are(.there))]
    NoSuchService {
        /// As typed.
        wanted: ServiceRef,
        /// Those that there are.
        there: Vec<String>,
    },
    /// Names tell services apart.
    #[error("the name {0} belongs to service {1} already")]
    NameTaken(String, ServiceId),
    /// Servers are added once.
    #[error("server {1} already exists in service {0}: `lb-ctl server set` changes it")]
    ServerExists(ServiceId, ServerId),
    /// The service has none at this address and port.
    #[error("no such server in service {service}: {wanted}; {}", there_are(.there))]
    NoSuchServer {
        /// The service.
        service: ServiceId,
        /// As typed, with the port.
        wanted: ServerId,
        /// Those that there are.
        there: Vec<String>,
    },
    /// A value breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Fault),
}

/// The service that is called so, or an error that says which ones there are.
pub fn find<'a>(desired: &'a Desired, service: &ServiceRef) -> Result<&'a Service, EditError> {
    desired
        .find(service)
        .ok_or_else(|| EditError::no_such_service(service, desired.services.iter()))
}

impl EditError {
    fn no_such_service<'a>(wanted: &ServiceRef, there: impl Iterator<Item = &'a Service>) -> Self {
        Self::NoSuchService {
            wanted: wanted.clone(),
            there: there
                .map(|service| match &service.name {
                    Some(name) => format!("{} ({name})", service.id),
                    None => service.id.to_string(),
                })
                .collect(),
        }
    }
}

/// `there are: a, b`, shortened where there are many.
fn there_are(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "there are none".to_owned();
    }
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("there are: {}{more}", shown.join(", "))
}

impl Endpoint {
    /// The server that is meant in this service.
    #[must_use]
    pub fn of(self, service: ServiceId) -> ServerId {
        ServerId {
            address: self.address,
            port: self.port.unwrap_or(service.port),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => f.pad(&format!("{}:{port}", self.address)),
            None => self.address.fmt(f),
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (address, port) = spelling::endpoint(text)?;
        Ok(Self { address, port })
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

#[cfg(test)]
pub mod tests {
    //! Edits for property tests, and tests.

    use super::*;
    use crate::{config, desired::strategies};
    use proptest::{option, prelude::*, sample};

    const FILE: &str = "
services:
  - address: 192.0.2.1:80
    name: web
    scheduler: wrr
    servers: [{address: 10.0.0.1}, {address: 10.0.0.2, forward: nat}]
  - address: 192.0.2.1:53
    protocol: udp
";

    fn desired() -> Desired {
        config::parse(FILE, "lb.yaml").unwrap()
    }

    fn web() -> ServiceRef {
        ServiceRef::Name("web".into())
    }

    fn add(server: &str, end: End) -> Edit {
        Edit::AddServer {
            service: web(),
            server: server.parse().unwrap(),
            weight: 3,
            forward: None,
            end,
        }
    }

    fn servers(desired: &Desired) -> Vec<(String, u32)> {
        let servers = &desired.services[0].servers;
        servers
            .iter()
            .map(|s| (s.id.to_string(), s.weight))
            .collect()
    }

    fn refused(edit: Edit) -> String {
        edit.apply(&desired()).unwrap_err().to_string()
    }

    #[test]
    fn a_server_is_added_at_the_end_that_is_asked_for() {
        let after = add("10.0.0.3", End::Tail).apply(&desired()).unwrap();
        assert_eq!(servers(&after)[2], ("10.0.0.3:80".into(), 3));
        let after = add("10.0.0.3", End::Head).apply(&desired()).unwrap();
        assert_eq!(servers(&after)[0], ("10.0.0.3:80".into(), 3));
    }

    #[test]
    fn what_exists_is_not_added_again() {
        assert!(
            refused(add("10.0.0.1:80", End::Tail))
                .starts_with("server 10.0.0.1:80 already exists in service tcp/192.0.2.1:80")
        );
        let service = |id: &str, name: Option<&str>| Edit::AddService {
            id: id.parse().unwrap(),
            name: name.map(str::to_owned),
            scheduler: Scheduler::Wlc,
            forward: Method::Dr,
        };
        assert!(
            refused(service("tcp/192.0.2.1:80", None))
                .starts_with("service tcp/192.0.2.1:80 already exists")
        );
        assert_eq!(
            refused(service("tcp/192.0.2.9:80", Some("web"))),
            "the name web belongs to service tcp/192.0.2.1:80 already"
        );
    }

    #[test]
    fn what_is_missing_is_answered_by_what_there_is() {
        assert_eq!(
            refused(Edit::DeleteService {
                service: "wbe".parse().unwrap()
            }),
            "no such service: wbe; there are: tcp/192.0.2.1:80 (web), udp/192.0.2.1:53"
        );
        assert_eq!(
            refused(Edit::DrainServer {
                service: web(),
                server: "10.0.0.9".parse().unwrap()
            }),
            "no such server in service tcp/192.0.2.1:80: 10.0.0.9:80; there are: 10.0.0.1:80, 10.0.0.2:80"
        );
        let nothing = Desired::default();
        let edit = Edit::DeleteService { service: web() };
        assert_eq!(
            edit.apply(&nothing).unwrap_err().to_string(),
            "no such service: web; there are none"
        );
    }

    #[test]
    fn a_drained_server_keeps_its_place_with_weight_0() {
        let edit = Edit::DrainServer {
            service: web(),
            server: "10.0.0.1".parse().unwrap(),
        };
        let after = edit.apply(&desired()).unwrap();
        assert_eq!(servers(&after)[0], ("10.0.0.1:80".into(), 0));
    }

    #[test]
    fn servers_follow_their_service_to_another_method() {
        let edit = |forward| Edit::SetService {
            service: web(),
            name: Rename::Keep,
            scheduler: None,
            forward: Some(forward),
        };
        let after = edit(Method::Tun).apply(&desired()).unwrap();
        let methods: Vec<_> = after.services[0].servers.iter().map(|s| s.method).collect();
        assert_eq!(methods, [Method::Tun, Method::Nat]);
        assert_eq!(after.services[0].scheduler, Scheduler::Wrr);
        let mapped = add("10.0.0.3:8080", End::Tail)
            .apply(&edit(Method::Nat).apply(&desired()).unwrap())
            .unwrap();
        let fault = edit(Method::Dr).apply(&mapped).unwrap_err().to_string();
        assert!(fault.starts_with("server 10.0.0.3:8080: port 8080 is not the service's"));
    }

    #[test]
    fn edits_obey_the_rules_of_files() {
        assert!(refused(add("10.0.0.3:8080", End::Tail)).contains("only forward `nat`"));
        assert!(refused(add("192.0.2.1", End::Tail)).contains("own address"));
        let weight = Edit::SetServer {
            service: web(),
            server: "10.0.0.1".parse().unwrap(),
            weight: Some(65_536),
            forward: None,
        };
        assert!(refused(weight).contains("from 0 to 65535"));
    }

    #[test]
    fn a_name_can_be_given_kept_and_taken_away() {
        let rename = |name| Edit::SetService {
            service: web(),
            name,
            scheduler: None,
            forward: None,
        };
        let name = |rename: Edit| rename.apply(&desired()).unwrap().services[0].name.clone();
        assert_eq!(name(rename(Rename::Keep)), Some("web".into()));
        assert_eq!(name(rename(Rename::To("web".into()))), Some("web".into()));
        assert_eq!(name(rename(Rename::To("www".into()))), Some("www".into()));
        assert_eq!(name(rename(Rename::Remove)), None);
    }

    proptest! {
        #[test]
        fn an_accepted_edit_gives_a_configuration_that_a_file_could_say(
            before in strategies::desired(),
            edit in edits(),
        ) {
            if let Ok(after) = edit.apply(&before) {
                let mut file = Vec::new();
                config::write(&after, &mut file).unwrap();
                let text = String::from_utf8(file).unwrap();
                prop_assert_eq!(config::parse(&text, "lb.yaml").map_err(|e| e.to_string()), Ok(after));
            }
        }
    }

    /// Of services and servers that `strategies::desired` has, and of some that nothing may have.
    pub fn edits() -> impl Strategy<Value = Edit> {
        let service = sample::select(vec!["tcp/192.0.2.1:80", "udp/192.0.2.2:81", "web", "-"])
            .prop_map(|text| text.parse::<ServiceRef>().unwrap());
        let id = sample::select(vec![
            "tcp/192.0.2.1:80",
            "tcp/127.0.0.1:80",
            "udp/192.0.2.9:0",
        ])
        .prop_map(|text| text.parse::<ServiceId>().unwrap());
        let server = sample::select(vec!["10.0.0.1", "10.0.0.2:81", "127.0.0.1", "192.0.2.1"])
            .prop_map(|text| text.parse::<Endpoint>().unwrap());
        let name = option::of(sample::select(vec!["web", "new", "a b"]));
        let scheduler = sample::select(Scheduler::ALL);
        let method = option::of(sample::select(Method::ALL));
        let weight = option::of(prop_oneof![0..=65_536u32, Just(1)]);
        (0..7, service, id, server, name, scheduler, method, weight).prop_map(
            |(kind, service, id, server, name, scheduler, forward, weight)| match kind {
                0 => Edit::AddService {
                    id,
                    name: name.map(str::to_owned),
                    scheduler,
                    forward: forward.unwrap_or(Method::Dr),
                },
                1 => Edit::SetService {
                    service,
                    name: name.map_or(Rename::Remove, |name| Rename::To(name.into())),
                    scheduler: Some(scheduler),
                    forward,
                },
                2 => Edit::DeleteService { service },
                3 => Edit::AddServer {
                    service,
                    server,
                    weight: weight.unwrap_or(1),
                    forward,
                    end: End::Head,
                },
                4 => Edit::SetServer {
                    service,
                    server,
                    weight,
                    forward,
                },
                5 => Edit::DeleteServer { service, server },
                _ => Edit::DrainServer { service, server },
            },
        )
    }

    #[test]
    fn edits_survive_the_socket() {
        let edits = [
            add("10.0.0.3", End::Head),
            Edit::SetService {
                service: web(),
                name: Rename::To("www".into()),
                scheduler: Some(Scheduler::Lc),
                forward: None,
            },
        ];
        for edit in edits {
            let json = serde_json::to_string(&edit).unwrap();
            assert_eq!(serde_json::from_str::<Edit>(&json).unwrap(), edit);
        }
    }
}
