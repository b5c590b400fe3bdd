//! Services, servers and connections with their numbers.

use std::net::SocketAddr;

use lb_model::{
    Counters, Load, Method, Protocol, ServerId, ServerOptions, ServiceId, ServiceOptions, State,
};
use serde::{Deserialize, Serialize};

/// Services and servers, in the director's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Connections that the table was made for.
    pub capacity: u32,
    /// The services.
    pub services: Vec<ListedService>,
}

/// A service in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedService {
    /// What it is.
    pub id: ServiceId,
    /// Its options.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: ServiceOptions,
    /// What passed, or passes, for all its servers, removed ones too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub counters: Counters,
    /// Its servers, in the order in which they are scheduled.
    pub servers: Vec<ListedServer>,
}

impl ListedService {
    /// The connections of all its servers.
    #[must_use]
    pub fn load(&self) -> Load {
        self.servers.iter().map(|server| server.load).sum()
    }
}

/// A server in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedServer {
    /// Where it is.
    pub id: ServerId,
    /// Its options.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: ServerOptions,
    /// The method by which packets reach it.
    pub method: Method,
    /// Whether packets reach it: `up`, `local`, `next hop unknown`, `next hop silent` (packets go
    /// where it was last).
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: String,
    /// Its connections.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load: Load,
    /// Clients that keep it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub persistent: u32,
    /// What passed, or passes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub counters: Counters,
}

/// All that the director counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// In the order of the configuration.
    pub services: Vec<ListedService>,
    /// Dropped packets, by reason.
    pub drops: Vec<ReasonStats>,
    /// Packets to services that were left to the kernel's network stack, by reason.
    #[serde(default)]
    pub passes: Vec<ReasonStats>,
    /// How full the connection table is.
    pub connections: TableStats,
    /// What the maps take, in bytes.
    pub memory: u64,
    /// Where the XDP program is attached, or should be.
    pub interfaces: Vec<InterfaceStats>,
    /// What keeps packets from being served now, as sentences.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Since when the daemon runs, in seconds.
    pub uptime: u64,
    /// The daemon's process.
    pub pid: u32,
}

/// Packets that were not served for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonStats {
    /// The reason's name.
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
    /// Its name now.
    pub name: String,
    /// Its name in the configuration, if it was renamed since the program was attached.
    #[serde(default, skip_serializing_if = "is_default")]
    pub configured: Option<String>,
    /// `native` or `generic`.
    pub mode: String,
    /// Whether the XDP program is attached to it.
    pub attached: bool,
    /// Why it is attached although nobody named it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub because: Option<String>,
}

/// A part of the connection table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In the table's order.
    pub rows: Vec<Connection>,
    /// How many connections were found, in the rows or not.
    pub found: u64,
    /// Where the next part begins; nothing at the end of the table.
    pub next: Option<u64>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The client's address and port.
    pub client: SocketAddr,
    /// VIP and port.
    pub service: SocketAddr,
    /// The server's address and port.
    pub server: SocketAddr,
    /// As IPVS calls it.
    pub state: State,
    /// When it ends unless a packet comes, in seconds from now.
    pub expires: u32,
    /// How its packets reach the server.
    #[serde(rename = "forward")]
    pub method: Method,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
