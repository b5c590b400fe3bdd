//! Why a change was not made, in our words and in the kernel's.

use std::fmt;

use crate::{
    desired::{Desired, Service},
    fault::Fault,
    ids::{ServerId, ServiceId, ServiceRef},
    not_yet::NotYet,
    refusal::Refusal,
    spelling::{SHOWN, some_of},
    values::Name,
};

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Services are added once.
    #[error("service {0} already exists: `lb-ctl service set` changes it")]
    ServiceExists(ServiceId),
    /// There is none that is called so.
    #[error("no such service: {wanted}; {there}")]
    NoSuchService {
        /// As typed.
        wanted: ServiceRef,
        /// Those that there are.
        there: There,
    },
    /// Names tell services apart.
    #[error("the name {0} already belongs to service {1}")]
    NameTaken(Name, ServiceId),
    /// Servers are added once.
    #[error("server {1} already exists in service {0}: `lb-ctl server set` changes it")]
    ServerExists(ServiceId, ServerId),
    /// The service has none at this address and port.
    #[error("no such server in service {service}: {wanted}; {there}")]
    NoSuchServer {
        /// The service.
        service: ServiceId,
        /// As typed, with the port.
        wanted: ServerId,
        /// Those that there are.
        there: There,
    },
    /// A number is too large or too small.
    #[error(transparent)]
    OutOfRange(Fault),
    /// There is no room for more.
    #[error(transparent)]
    Full(Fault),
    /// A value breaks another rule.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// It is right, but the packet path cannot do it.
    #[error("{}", .0.fault)]
    NotYet(NotYet),
    /// Connections are not synchronised in this role.
    #[error("connections are not synchronised: there is nothing to stop")]
    NoSync,
}

impl From<NotYet> for ChangeError {
    fn from(not_yet: NotYet) -> Self {
        Self::NotYet(not_yet)
    }
}

impl ChangeError {
    /// The kernel's reason.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::ServiceExists(_) | Self::ServerExists(..) => Refusal::Exists,
            Self::NoSuchService { .. } | Self::NoSync => Refusal::NoService,
            Self::NoSuchServer { .. } => Refusal::NotFound,
            Self::OutOfRange(_) => Refusal::OutOfRange,
            Self::Full(_) => Refusal::NoMemory,
            Self::Invalid(_) | Self::NameTaken(..) => Refusal::Invalid,
            Self::NotYet(not_yet) => not_yet.refusal,
        }
    }

    /// True if the change would be wrong at any time, whatever there is.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_) | Self::OutOfRange(_) | Self::NotYet(_)
        )
    }

    /// Where a service is named that there is none of.
    #[must_use]
    pub fn no_such_service(wanted: &ServiceRef, desired: &Desired) -> Self {
        let services = desired.services.iter();
        let names = services.map(|service| match &service.options.name {
            Some(name) => format!("{} ({name})", service.id),
            None => service.id.to_string(),
        });
        Self::NoSuchService {
            wanted: wanted.clone(),
            there: There::of(names, desired.services.len()),
        }
    }

    pub(super) fn no_such_server(wanted: ServerId, service: &Service) -> Self {
        let servers = service.servers.iter();
        Self::NoSuchServer {
            service: service.id,
            wanted,
            there: There::of(servers.map(|s| s.id.to_string()), service.servers.len()),
        }
    }
}

/// What there is, for a message: the first few by name. A message about one of 10 000 services
/// costs no more than one about one of ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct There {
    first: Vec<String>,
    all: usize,
}

impl There {
    fn of(names: impl Iterator<Item = String>, all: usize) -> Self {
        Self {
            first: names.take(SHOWN).collect(),
            all,
        }
    }
}

impl fmt::Display for There {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all {
            0 => f.write_str("there are none"),
            all => write!(f, "there are: {}", some_of(&self.first, all)),
        }
    }
}
