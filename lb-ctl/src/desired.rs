//! What the director should do: a configuration that was checked, as plain values.

use std::{fmt, net::Ipv4Addr};

pub use lb_common::{server::Method, service::Scheduler};

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, established.
    pub tcp: u32,
    /// TCP, after a FIN.
    pub tcpfin: u32,
    /// UDP.
    pub udp: u32,
}

/// Transport protocols that can be balanced. The numbers are those of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// Written `tcp`.
    Tcp = lb_common::connection::TCP,
    /// Written `udp`.
    Udp = lb_common::connection::UDP,
}

/// What tells one virtual service from another. Written `tcp/192.168.100.11:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The VIP.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its identity.
    pub id: ServiceId,
    /// A name for people.
    pub name: Option<String>,
    /// How it chooses a server.
    pub scheduler: Scheduler,
    /// The method that servers have unless they say otherwise.
    pub forward: Method,
    /// In the order in which they are scheduled.
    pub servers: Vec<Server>,
}

/// What tells one server of a service from another. Written `192.168.100.47:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    /// The RIP.
    pub address: Ipv4Addr,
    /// The port on the server: the service's, except under NAT.
    pub port: u16,
}

/// A real server of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its identity.
    pub id: ServerId,
    /// Its share of new connections; 0 takes none.
    pub weight: u32,
    /// How packets reach it.
    pub method: Method,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
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
