//! What the director should do: a configuration that was checked, as plain values.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

pub use lb_common::{schedule::Scheduler, server::Method};

use crate::{
    rules::{self, Fault},
    spelling::{self, Named, by_name},
};

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Interfaces that the XDP program is attached to.
    pub interfaces: Vec<String>,
    /// Capacity of the connection table.
    pub connections: u32,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
    /// In the order in which they were written.
    pub services: Vec<Service>,
}

/// The timeouts that `ipvsadm --set` changes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// TCP, established.
    pub tcp: u32,
    /// TCP, after a FIN.
    pub tcpfin: u32,
    /// UDP.
    pub udp: u32,
}

/// Transport protocols that can be balanced. The numbers are those of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Protocol {
    /// Written `tcp`.
    Tcp = lb_common::protocol::TCP,
    /// Written `udp`.
    Udp = lb_common::protocol::UDP,
}

/// What tells one virtual service from another. Written `tcp/192.168.100.11:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The VIP.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its identity.
    pub id: ServiceId,
    /// A name for people.
    pub name: Option<String>,
    /// How it chooses a server.
    #[serde(with = "by_name")]
    pub scheduler: Scheduler,
    /// The method that servers have unless they say otherwise.
    #[serde(with = "by_name")]
    pub forward: Method,
    /// In the order in which they are scheduled.
    pub servers: Vec<Server>,
}

/// What tells one server of a service from another. Written `192.168.100.47:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerId {
    /// The RIP.
    pub address: Ipv4Addr,
    /// The port on the server: the service's, except under NAT.
    pub port: u16,
}

/// A real server of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its identity.
    pub id: ServerId,
    /// Its share of new connections; 0 takes none.
    pub weight: u32,
    /// How packets reach it.
    #[serde(with = "by_name")]
    pub method: Method,
}

/// What `lb-ctl` verbs call a service by: `tcp/192.168.100.11:80`, or its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServiceRef {
    /// By what it is.
    Id(ServiceId),
    /// By its name for people.
    Name(String),
}

impl Default for Desired {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            connections: rules::DEFAULT_CONNECTIONS,
            timeouts: Timeouts::default(),
            services: Vec::new(),
        }
    }
}

impl Desired {
    /// The service that is called so.
    #[must_use]
    pub fn find(&self, service: &ServiceRef) -> Option<&Service> {
        self.services.iter().find(|s| s.is_called(service))
    }

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

impl Default for Timeouts {
    /// IPVS's.
    fn default() -> Self {
        Self {
            tcp: 900,
            tcpfin: 120,
            udp: 300,
        }
    }
}

impl Service {
    /// True where `service` means this one.
    #[must_use]
    pub fn is_called(&self, service: &ServiceRef) -> bool {
        match service {
            ServiceRef::Id(id) => self.id == *id,
            ServiceRef::Name(name) => self.name.as_ref() == Some(name),
        }
    }
}

impl Named for Protocol {
    const KIND: &'static str = "protocol";
    const ALL: &'static [Self] = &[Self::Tcp, Self::Udp];
    const NOT_YET: &'static [&'static str] = &["sctp"];

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Named for Scheduler {
    const KIND: &'static str = "scheduler";
    const ALL: &'static [Self] = &[Self::Rr, Self::Wrr, Self::Lc, Self::Wlc];
    const NOT_YET: &'static [&'static str] = &[
        "sed", "nq", "sh", "dh", "mh", "fo", "ovf", "lblc", "lblcr", "twos",
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
        }
    }
}

impl Named for Method {
    const KIND: &'static str = "forwarding method";
    const ALL: &'static [Self] = &[Self::Dr, Self::Nat, Self::Tun];
    const NOT_YET: &'static [&'static str] = &["fullnat"];

    fn name(self) -> &'static str {
        match self {
            Self::Dr => "dr",
            Self::Nat => "nat",
            Self::Tun => "tun",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}:{}", self.protocol, self.address, self.port))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.address, self.port))
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

impl FromStr for ServiceId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let Some((protocol, endpoint)) = text.split_once('/') else {
            return Err(Fault::new(format!(
                "`{text}` does not say its protocol: write tcp/IP:PORT or udp/IP:PORT"
            )));
        };
        let protocol = Protocol::parse(protocol)?;
        let (address, port) = spelling::endpoint_with_port(endpoint)?;
        Ok(Self {
            protocol,
            address,
            port,
        })
    }
}

impl FromStr for ServerId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (address, port) = spelling::endpoint_with_port(text)?;
        Ok(Self { address, port })
    }
}

impl FromStr for ServiceRef {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.contains(['/', ':']) {
            return text.parse().map(Self::Id);
        }
        rules::name(text)?;
        Ok(Self::Name(text.to_owned()))
    }
}

/// The way through a string that serde takes.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = Fault;

            fn try_from(text: String) -> Result<Self, Fault> {
                text.parse()
            }
        }
    )*};
}

as_text!(ServiceId, ServerId, ServiceRef);

#[cfg(test)]
pub mod strategies {
    //! Configurations for property tests: every one is valid.

    use super::*;
    use proptest::{collection, option, prelude::*, sample};

    /// Small address and port spaces, so that two of them share much and differ in a little.
    pub fn desired() -> impl Strategy<Value = Desired> {
        let interfaces = sample::subsequence(vec!["eth0", "eth1", "true", "a,b", "1"], 0..=5);
        let timeouts = prop_oneof![
            Just(Timeouts::default()),
            proptest::array::uniform3(rules::SECONDS).prop_map(|[tcp, tcpfin, udp]| Timeouts {
                tcp,
                tcpfin,
                udp
            }),
        ];
        let connections = prop_oneof![Just(rules::DEFAULT_CONNECTIONS), 1..=100_000_000u32];
        (
            interfaces.prop_shuffle(),
            connections,
            timeouts,
            collection::vec(service(), 0..5),
        )
            .prop_map(|(interfaces, connections, timeouts, mut services)| {
                keep_first(&mut services, |s| Some(s.id));
                keep_first(&mut services, |s| s.name.clone());
                Desired {
                    interfaces: interfaces.into_iter().map(str::to_owned).collect(),
                    connections,
                    timeouts,
                    services,
                }
            })
    }

    fn service() -> impl Strategy<Value = Service> {
        let id = (sample::select(Protocol::ALL), 1..4u8, 80..82u16).prop_map(
            |(protocol, last, port)| ServiceId {
                protocol,
                address: Ipv4Addr::new(192, 0, 2, last),
                port,
            },
        );
        let name = option::of(sample::select(vec![
            "web", "no", "1e3", "主页", "0x1f", "-",
        ]));
        (
            id,
            name,
            sample::select(Scheduler::ALL),
            sample::select(Method::ALL),
            collection::vec(server(), 0..6),
        )
            .prop_map(|(id, name, scheduler, forward, mut servers)| {
                for server in &mut servers {
                    if server.method != Method::Nat {
                        server.id.port = id.port;
                    }
                }
                keep_first(&mut servers, |s| Some(s.id));
                Service {
                    id,
                    name: name.map(str::to_owned),
                    scheduler,
                    forward,
                    servers,
                }
            })
    }

    fn server() -> impl Strategy<Value = Server> {
        (
            1..8u8,
            80..82u16,
            prop_oneof![Just(1), 0..=65_535u32],
            sample::select(Method::ALL),
        )
            .prop_map(|(last, port, weight, method)| Server {
                id: ServerId {
                    address: Ipv4Addr::new(10, 0, 0, last),
                    port,
                },
                weight,
                method,
            })
    }

    /// Drops what has the same key as something before it.
    fn keep_first<T, K: PartialEq>(list: &mut Vec<T>, key: impl Fn(&T) -> Option<K>) {
        let mut seen = Vec::new();
        list.retain(|item| match key(item) {
            Some(key) if seen.contains(&key) => false,
            Some(key) => {
                seen.push(key);
                true
            }
            None => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_called_by_what_it_is_or_by_its_name() {
        let id = "udp/192.0.2.1:53".parse().unwrap();
        assert_eq!("udp/192.0.2.1:53".parse(), Ok(ServiceRef::Id(id)));
        assert_eq!("dns".parse(), Ok(ServiceRef::Name("dns".into())));
        assert_eq!(id.to_string(), "udp/192.0.2.1:53");
    }

    #[test]
    fn a_service_without_its_protocol_or_port_says_what_is_missing() {
        let refused = |text: &str| text.parse::<ServiceRef>().unwrap_err().to_string();
        assert!(refused("192.0.2.1:80").contains("write tcp/IP:PORT or udp/IP:PORT"));
        assert!(refused("tcp/192.0.2.1").contains("has no port"));
        assert!(refused("sctp/192.0.2.1:80").contains("not have yet"));
    }

    #[test]
    fn ids_travel_as_text() {
        let id: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"tcp/192.0.2.1:80\"");
        assert_eq!(serde_json::from_str::<ServiceId>(&json).unwrap(), id);
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
