//! What the daemon and its clients say to each other on the socket `/run/lb/INSTANCE.sock`:
//! one request as JSON on a line, one reply as JSON on a line, as often as the client likes.

mod client;
mod places;
mod server;
mod socket;

use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

pub use self::{
    client::{CallError, call},
    server::{Call, MAX_CLIENTS, MAX_REQUEST, serve},
    socket::{BindError, Lock, Socket, bind, lock, run_directory},
};

use crate::{
    config::{ConfigError, Source},
    connection::State,
    desired::{Desired, Method, Protocol, Scheduler, ServerId, ServiceId, ServiceRef},
    edit::{self, Edit, EditError, Endpoint},
    ipvs::{self, Traffic},
    spelling::by_name,
};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Make the live state equal to a file. The reply is a [`Reply::Plan`].
    ///
    /// The text travels as written and is checked where it is used.
    Apply {
        /// The file.
        source: Source,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// The live configuration: [`Reply::Desired`].
    Show,
    /// What was live a moment ago was written to a file: [`Reply::Done`]. Where that is the
    /// daemon's own, whatever is live beyond it was edited since.
    Saved {
        /// The [`checksum`](crate::config::checksum) of what stands there now.
        checksum: u32,
    },
    /// Change the live configuration. The reply is a [`Reply::Plan`].
    Edit(Edit),
    /// The counters: [`Reply::Stats`].
    Stats,
    /// A page of the connection table: [`Reply::Connections`]. Who asks for one page after the
    /// other has each connection that lives meanwhile once, and holds up nobody.
    Connections {
        /// Which connections.
        #[serde(default)]
        filter: ConnectionFilter,
        /// Where the page begins: `next` of the one before; the first has none.
        #[serde(default)]
        cursor: Option<u32>,
        /// At most so many rows; the daemon may give fewer, and says where to go on. With 0,
        /// connections are counted only.
        limit: usize,
    },
    /// In IPVS's words: [`Reply::Ipvs`].
    Ipvs(ipvs::Request),
    /// Stop forwarding, remove what is pinned, and end: [`Reply::Done`].
    Detach,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// What was done, or would be: the lines of a [`Plan`](crate::plan::Plan).
    Plan(Vec<String>),
    /// The live configuration.
    Desired(Desired),
    /// The counters.
    Stats(Stats),
    /// A page of the connection table.
    Connections {
        /// In the order of the table.
        rows: Vec<Connection>,
        /// How many were found, in the rows or not.
        found: u64,
        /// Where the next page begins; `None` at the end of the table.
        next: Option<u32>,
    },
    /// In IPVS's words.
    Ipvs(ipvs::Reply),
    /// It was not done.
    Error {
        /// Whose fault it is.
        kind: ErrorKind,
        /// What was tried, on what, why it failed, and what to do.
        message: String,
    },
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request was right, but could not be carried out.
    Failed,
    /// The request was wrong: it would be wrong at any time.
    BadRequest,
}

impl Reply {
    /// It could not be done.
    #[must_use]
    pub fn failed(message: impl ToString) -> Self {
        Self::Error {
            kind: ErrorKind::Failed,
            message: message.to_string(),
        }
    }

    /// It should not have been asked.
    #[must_use]
    pub fn bad_request(message: impl ToString) -> Self {
        Self::Error {
            kind: ErrorKind::BadRequest,
            message: message.to_string(),
        }
    }
}

impl From<EditError> for Reply {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Invalid(fault) => Self::bad_request(fault),
            error => Self::failed(error),
        }
    }
}

impl From<ConfigError> for Reply {
    fn from(error: ConfigError) -> Self {
        Self::bad_request(error)
    }
}

/// `lb-ctl stats --json`: everything that the director counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// In the order of the configuration.
    pub services: Vec<ServiceStats>,
    /// Dropped packets, by reason.
    pub drops: Vec<DropStats>,
    /// How full the connection table is.
    pub connections: TableStats,
    /// What the maps take, in bytes.
    pub memory: u64,
    /// Where the XDP program is attached, or should be.
    pub interfaces: Vec<InterfaceStats>,
    /// Since when the daemon runs, in seconds.
    pub uptime: u64,
    /// The daemon's process.
    pub pid: u32,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStats {
    /// What it is.
    pub service: ServiceId,
    /// Its name, if any.
    pub name: Option<String>,
    /// How it chooses a server.
    #[serde(with = "by_name")]
    pub scheduler: Scheduler,
    /// What passed for all its servers together.
    #[serde(flatten)]
    pub counters: Counters,
    /// Its servers, in the order in which they are scheduled, then removed ones that still
    /// have connections.
    pub servers: Vec<ServerStats>,
}

/// A server of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStats {
    /// Where it is.
    pub server: ServerId,
    /// Its share of new connections.
    pub weight: u32,
    /// How packets reach it.
    #[serde(rename = "forward", with = "by_name")]
    pub method: Method,
    /// Whether packets reach it: `up`, `local`, `next hop unknown`,
    /// `next hop silent` (packets go where it was last), `removed`.
    pub state: String,
    /// What passed.
    #[serde(flatten)]
    pub counters: Counters,
}

/// What passed for a service or a server since it was made, and its connections now. Bytes
/// count from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections that were opened.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients, where they pass the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients, where they pass the director.
    pub out_bytes: u64,
    /// Connections in a state that IPVS calls active.
    pub active: u64,
    /// All other connections that there are.
    pub inactive: u64,
}

impl Counters {
    /// What was counted, and the connections that there are.
    #[must_use]
    pub fn of(traffic: Traffic, active: u64, inactive: u64) -> Self {
        let Traffic {
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
        } = traffic;
        Self {
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
            active,
            inactive,
        }
    }
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.in_packets += other.in_packets;
        self.out_packets += other.out_packets;
        self.in_bytes += other.in_bytes;
        self.out_bytes += other.out_bytes;
        self.active += other.active;
        self.inactive += other.inactive;
    }
}

/// Packets that were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropStats {
    /// [`lb_common::drops::Drop::name`].
    pub reason: String,
    /// How many.
    pub packets: u64,
}

/// The connection table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStats {
    /// Connections in it.
    pub used: u64,
    /// Connections that it was made for.
    pub capacity: u64,
    /// Its slots: a NAT connection takes two.
    pub slots: u64,
}

/// An interface of the director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
    /// Whether the XDP program is attached to it.
    pub attached: bool,
}

/// A row of `lb-ctl conns --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The client's address and port.
    pub client: SocketAddrV4,
    /// VIP and port.
    pub service: SocketAddrV4,
    /// The server's address and port.
    pub server: SocketAddrV4,
    /// As IPVS calls it.
    #[serde(with = "by_name")]
    pub state: State,
    /// When it ends unless a packet comes, in seconds from now.
    pub expires: u32,
    /// How its packets reach the server.
    #[serde(rename = "forward", with = "by_name")]
    pub method: Method,
}

/// Which connections; what is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionFilter {
    /// Those of this service.
    pub service: Option<ServiceRef>,
    /// Those of this client, or of this port of it.
    pub client: Option<Endpoint>,
    /// Those that this server has, or this port of it.
    pub server: Option<Endpoint>,
    /// Those in this state.
    #[serde(with = "by_name::option")]
    pub state: Option<State>,
}

impl ConnectionFilter {
    /// The same, with a service that is called by its name replaced by what that means.
    pub fn resolved(self, desired: &Desired) -> Result<Self, EditError> {
        let service = match self.service {
            Some(name @ ServiceRef::Name(_)) => {
                Some(ServiceRef::Id(edit::find(desired, &name)?.id))
            }
            other => other,
        };
        Ok(Self { service, ..self })
    }

    /// True for a connection that is asked for. The filter must be [resolved](Self::resolved).
    #[must_use]
    pub fn matches(&self, connection: &Connection) -> bool {
        let is = |wanted: Option<Endpoint>, seen: SocketAddrV4| {
            wanted.is_none_or(|wanted| {
                wanted.address == *seen.ip() && wanted.port.is_none_or(|port| port == seen.port())
            })
        };
        let service = ServiceId {
            protocol: connection.protocol,
            address: *connection.service.ip(),
            port: connection.service.port(),
        };
        self.service
            .as_ref()
            .is_none_or(|wanted| *wanted == ServiceRef::Id(service))
            && is(self.client, connection.client)
            && is(self.server, connection.server)
            && self.state.is_none_or(|state| state == connection.state)
    }
}

#[cfg(test)]
mod tests;
