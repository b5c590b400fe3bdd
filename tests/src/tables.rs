//! Reads the tables of `lb-ctl --json`. The types are written from the documentation and shared
//! with no program under test.

use anyhow::{Context, Result};
use lb_lab::capture::Tally;
use serde::Deserialize;

/// `lb-ctl stats --json`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Stats {
    /// In the order of the configuration.
    pub services: Vec<Service>,
    /// Dropped packets, by reason.
    pub drops: Vec<Drops>,
    /// How full the connection table is.
    pub connections: Table,
    /// Memory of the maps, in bytes.
    pub memory: u64,
    /// Packets to services that were left to the kernel's network stack, by reason.
    pub passes: Vec<Drops>,
    /// The director's interfaces.
    pub interfaces: Vec<Interface>,
    /// What keeps packets from being served.
    pub troubles: Vec<String>,
    /// The daemon's process; 0 where none runs.
    pub pid: u32,
}

impl Stats {
    /// Packets dropped, or left to the stack, for this reason.
    #[must_use]
    pub fn count(&self, reason: &str) -> u64 {
        let counts = self.drops.iter().chain(&self.passes);
        let counts = counts.filter(|count| count.reason == reason);
        counts.map(|count| count.packets).sum()
    }
}

/// An interface of the director.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Interface {
    /// What it is called now.
    pub name: String,
    /// `native`, `generic`, or `none`.
    pub mode: String,
    /// Whether the XDP program is attached to it.
    pub attached: bool,
    /// Why it is attached although nobody named it.
    pub because: Option<String>,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Drops {
    /// The reason.
    pub reason: String,
    /// Number of packets.
    pub packets: u64,
}

/// The connection table.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Table {
    /// Connections in it.
    pub used: u64,
    /// The number of connections that it was made for.
    pub capacity: u64,
    /// Number of slots.
    pub slots: u64,
}

/// A row of a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Service {
    /// `tcp/192.168.100.11:80`
    pub service: String,
    /// The sum over its servers.
    #[serde(flatten)]
    pub counters: Counters,
    /// In the order of the configuration.
    pub servers: Vec<Server>,
}

/// A row of a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Server {
    /// `192.168.100.47:80`
    pub server: String,
    /// Its share of new connections.
    pub weight: u32,
    /// `up`, or what keeps it from being served.
    pub state: String,
    /// Its counters.
    #[serde(flatten)]
    pub counters: Counters,
}

/// Counters since the service or server was added; and its present connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were opened.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients that passed the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients that passed the director.
    pub out_bytes: u64,
    /// Active connections, as IPVS counts them.
    pub active: u64,
    /// Inactive connections, as IPVS counts them.
    pub inactive: u64,
}

/// A row of `lb-ctl conns --json`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Connection {
    /// The client's address and port.
    pub client: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The service's address and port.
    pub service: String,
    /// The server's address and port.
    pub server: String,
    /// The state's name in IPVS.
    pub state: String,
    /// In how many seconds it ends, without a packet.
    pub expires: u32,
}

impl Stats {
    /// The row of a service, which is named as in `tcp/192.168.100.11:80`.
    pub fn service(&self, service: &str) -> Result<&Service> {
        let row = self.services.iter().find(|row| row.service == service);
        row.with_context(|| format!("no service {service} in {self:?}"))
    }
}

impl Service {
    /// The row of a server, which is named as in `192.168.100.47:80`.
    pub fn server(&self, server: &str) -> Result<&Server> {
        let row = self.servers.iter().find(|row| row.server == server);
        row.with_context(|| format!("no server {server} in {self:?}"))
    }
}

impl Counters {
    /// Traffic from clients.
    #[must_use]
    pub fn inward(&self) -> Tally {
        Tally {
            packets: self.in_packets,
            bytes: self.in_bytes,
        }
    }

    /// Traffic to clients.
    #[must_use]
    pub fn outward(&self) -> Tally {
        Tally {
            packets: self.out_packets,
            bytes: self.out_bytes,
        }
    }
}
