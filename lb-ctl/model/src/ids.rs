//! What tells services and servers apart, and how people call them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    packet_path,
    spelling::{self, Named, as_text},
    values::Name,
};

/// Transport protocols. The numbers are those of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Protocol {
    /// Written `tcp`.
    Tcp = 6,
    /// Written `udp`.
    Udp = 17,
    /// Written `sctp`.
    Sctp = 132,
}

impl Named for Protocol {
    const KIND: &'static str = "protocol";
    const ALL: &'static [Self] = &[Self::Tcp, Self::Udp, Self::Sctp];

    fn name(&self) -> &str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    fn usable() -> Vec<&'static str> {
        packet_path::PROTOCOLS.to_vec()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What tells one service from another. Written `tcp/192.0.2.1:80`, `udp/[2001:db8::1]:53`;
/// for a firewall mark `mark/5`, and `mark6/5` for the mark on IPv6 packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServiceId {
    /// By the address that packets are sent to.
    Address {
        /// The transport protocol.
        protocol: Protocol,
        /// VIP and port. Port 0 means every port.
        at: SocketAddr,
    },
    /// By the mark that the firewall puts on packets.
    Mark {
        /// The mark.
        mark: u32,
        /// Of which packets.
        family: Family,
    },
}

impl ServiceId {
    /// The family of its clients' packets.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Address { at, .. } => Family::of(at.ip()),
            Self::Mark { family, .. } => family,
        }
    }

    /// The VIP. A mark has none.
    #[must_use]
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address { at, .. } => Some(at.ip()),
            Self::Mark { .. } => None,
        }
    }

    /// The port that servers have where none is given: the service's own; 0 for a mark, whose
    /// packets keep theirs.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Address { at, .. } => at.port(),
            Self::Mark { .. } => 0,
        }
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self {
            Self::Address { protocol, at } => format!("{protocol}/{at}"),
            Self::Mark {
                mark,
                family: Family::V4,
            } => format!("mark/{mark}"),
            Self::Mark {
                mark,
                family: Family::V6,
            } => format!("mark6/{mark}"),
        })
    }
}

impl FromStr for ServiceId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let Some((kind, rest)) = text.split_once('/') else {
            return Err(Fault::new(format!(
                "`{}` does not say its protocol: write tcp/IP:PORT or udp/IP:PORT",
                text.escape_debug()
            )));
        };
        let family = match kind {
            "mark" => Family::V4,
            "mark6" => Family::V6,
            _ => {
                let protocol = Protocol::parse(kind)?;
                let (address, port) = spelling::endpoint_with_port(rest)?;
                let at = SocketAddr::new(address, port);
                return Ok(Self::Address { protocol, at });
            }
        };
        let mark = spelling::number(rest, 1..=u32::MAX)?;
        Ok(Self::Mark { mark, family })
    }
}

/// What tells one server of a service from another. Written `192.168.100.47:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerId {
    /// The RIP.
    pub address: IpAddr,
    /// The port on the server: the service's, except under NAT.
    pub port: u16,
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&spelling::with_port(self.address, self.port))
    }
}

impl FromStr for ServerId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (address, port) = spelling::endpoint_with_port(text)?;
        Ok(Self { address, port })
    }
}

/// A server as it is typed: without a port, it has its service's. Written `192.0.2.1` or
/// `192.0.2.1:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port, if given.
    pub port: Option<u16>,
}

impl Endpoint {
    /// The server that is meant in this service.
    #[must_use]
    pub fn of(self, service: ServiceId) -> ServerId {
        ServerId {
            address: self.address,
            port: self.port.unwrap_or(service.port()),
        }
    }
}

impl From<ServerId> for Endpoint {
    fn from(server: ServerId) -> Self {
        Self {
            address: server.address,
            port: Some(server.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => f.pad(&spelling::with_port(self.address, port)),
            None => self.address.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (address, port) = spelling::endpoint(text)?;
        Ok(Self { address, port })
    }
}

/// What people call a service: `tcp/192.168.100.11:80`, or its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServiceRef {
    /// By what it is.
    Id(ServiceId),
    /// By its name.
    Name(Name),
}

impl From<ServiceId> for ServiceRef {
    fn from(id: ServiceId) -> Self {
        Self::Id(id)
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for ServiceRef {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.contains(['/', ':']) {
            return text.parse().map(Self::Id);
        }
        text.parse().map(Self::Name)
    }
}

as_text!(ServiceId, ServerId, Endpoint, ServiceRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_written_in_one_way() {
        for text in [
            "tcp/192.0.2.1:80",
            "sctp/[2001:db8::1]:0",
            "mark/4294967295",
            "mark6/5",
        ] {
            assert_eq!(text.parse::<ServiceId>().unwrap().to_string(), text);
        }
        for text in ["", "tcp/", "icmp/192.0.2.1:80", "mark/x", "tcp/192.0.2.1"] {
            assert!(text.parse::<ServiceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_is_called_by_what_it_is_or_by_its_name() {
        let id: ServiceId = "udp/192.0.2.1:53".parse().unwrap();
        assert_eq!("udp/192.0.2.1:53".parse(), Ok(ServiceRef::Id(id)));
        assert_eq!("dns".parse(), Ok(ServiceRef::Name("dns".parse().unwrap())));
    }

    #[test]
    fn a_service_without_its_protocol_or_port_says_what_is_missing() {
        let refused = |text: &str| text.parse::<ServiceRef>().unwrap_err().to_string();
        assert!(refused("192.0.2.1:80").contains("write tcp/IP:PORT or udp/IP:PORT"));
        assert!(refused("tcp/192.0.2.1").contains("has no port"));
        assert!(refused("tpc/192.0.2.1:80").contains("did you mean `tcp`?"));
    }

    #[test]
    fn ids_travel_as_text() {
        let id: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"tcp/192.0.2.1:80\"");
        assert_eq!(serde_json::from_str::<ServiceId>(&json).unwrap(), id);
    }

    #[test]
    fn a_server_without_a_port_has_its_services() {
        let service: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
        let server: Endpoint = "10.0.0.1".parse().unwrap();
        assert_eq!(server.of(service).to_string(), "10.0.0.1:80");
        let server: Endpoint = "[2001:db8::1]:81".parse().unwrap();
        assert_eq!(server.of(service).to_string(), "[2001:db8::1]:81");
    }
}
