//! The synchronisation of connections between directors, in IPVS's words.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a director does in the synchronisation of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It sends its connections.
    Master,
    /// It receives others' connections.
    Backup,
}

/// How connections are synchronised. What is not given is IPVS's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// By this interface.
    pub interface: String,
    /// Under this number; 0 is any.
    pub id: u8,
    /// The longest message, in bytes.
    pub longest: u16,
    /// To this group.
    pub group: Option<IpAddr>,
    /// To this port.
    pub port: u16,
    /// Over so many routers.
    pub ttl: u8,
}
