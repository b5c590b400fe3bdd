//! The one vocabulary of change. Every front end says what it wants in these words; they follow
//! IPVS where it has a rule (what exists is not added, what does not exist is not changed).
//!
//! - `make`: a change is judged and made
//! - `error`: why it was not made
//! - `undo`: what was there before

mod error;
mod make;
mod undo;

use serde::{Deserialize, Serialize};

pub use self::{
    error::{ChangeError, There},
    undo::Undo,
};
use crate::{
    desired::Desired,
    ids::{Endpoint, ServiceId, ServiceRef},
    options::{Patch, ServerOptions, ServiceOptions},
    sync::{Role, Sync},
};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A new service, after the others.
    AddService {
        /// What it is.
        id: ServiceId,
        /// Its options.
        #[serde(default)]
        options: ServiceOptions,
    },
    /// Changes some options of a service.
    SetService {
        /// Which.
        service: ServiceRef,
        /// These options.
        set: Patch,
    },
    /// Removes a service and its servers.
    DeleteService {
        /// Which.
        service: ServiceRef,
    },
    /// Removes all services.
    Clear,
    /// A new server.
    AddServer {
        /// Of which service.
        service: ServiceRef,
        /// Where it is.
        server: Endpoint,
        /// Its options.
        #[serde(default)]
        options: ServerOptions,
        /// Where in the order in which servers are scheduled.
        #[serde(default)]
        end: End,
    },
    /// Changes some options of a server, which keeps its place.
    SetServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
        /// These options.
        set: Patch,
    },
    /// Removes a server.
    DeleteServer {
        /// Of which service.
        service: ServiceRef,
        /// Which.
        server: Endpoint,
    },
    /// Changes some timeouts.
    SetTimeouts {
        /// These.
        set: Patch,
    },
    /// Lets the counters of a service and its servers, or of all, be shown from here on.
    Zero {
        /// Which service; all where none is given.
        service: Option<ServiceRef>,
    },
    /// Starts to synchronise connections.
    StartSync {
        /// In which role.
        role: Role,
        /// How.
        sync: Sync,
    },
    /// Stops to synchronise connections.
    StopSync {
        /// In which role.
        role: Role,
    },
    /// Everything becomes as it is said here.
    Replace(Box<Desired>),
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

impl Change {
    /// The server that it may bring, of whose address nothing may be known yet.
    #[must_use]
    pub fn brings(&self) -> Vec<std::net::IpAddr> {
        match self {
            Self::AddServer { server, .. } => vec![server.address],
            Self::Replace(desired) => {
                let servers = desired.services.iter().flat_map(|service| &service.servers);
                servers.map(|server| server.id.address).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
