//! What the packet path counts, for those who show it.

use lb_common::server::{SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE};

use lb_model::{Counters, Load, Method, ServerId, ServiceId};

use super::{
    encode::{self, counters},
    servers::Servers,
    services::Services,
};

/// What is counted for one service. Nothing is read before it is asked for.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    services: &'a Services,
    service: ServiceId,
    /// The service's place; `None` if packets do not find it.
    index: Option<u32>,
}

/// What is counted for one server of a service.
#[derive(Clone, Copy)]
pub struct ServerNumbers<'a> {
    servers: &'a Servers,
    service: ServiceId,
    server: ServerId,
}

/// Whether packets reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not belong to the service, though connections may remember it.
    Removed,
    /// It is on this machine.
    Local,
    /// They leave for its next hop.
    Reachable,
    /// Its next hop is not known.
    Unreachable,
}

impl<'a> Numbers<'a> {
    /// Of this service.
    pub(super) fn of(services: &'a Services, service: ServiceId) -> Self {
        let index = services.index(service);
        Self {
            services,
            service,
            index,
        }
    }

    /// Those of one of its servers.
    #[must_use]
    pub fn server(&self, server: ServerId) -> ServerNumbers<'a> {
        ServerNumbers {
            servers: self.servers(),
            service: self.service,
            server,
        }
    }

    /// What servers counted that do not belong to the service any more. Together with its
    /// servers' totals it is the service's.
    #[must_use]
    pub fn former_servers(&self) -> Counters {
        let former = self.index.map(|index| self.servers().retired(index));
        former.map(counters).unwrap_or_default()
    }

    /// What all servers counted since the service was zeroed, former ones too.
    #[must_use]
    pub fn since_zero(&self) -> Counters {
        let shown = self.index.map(|index| {
            let total = self.services.counters(self.service);
            self.servers().shown_of_service(index, total)
        });
        shown.map(counters).unwrap_or_default()
    }

    /// What passes in a second for all servers.
    #[must_use]
    pub fn rates(&self) -> Counters {
        let rates = self
            .index
            .map(|index| self.servers().rates_of_service(index));
        rates.map(counters).unwrap_or_default()
    }

    fn servers(&self) -> &'a Servers {
        self.services.servers()
    }
}

impl ServerNumbers<'_> {
    /// What it counted since it was added.
    #[must_use]
    pub fn total(&self) -> Counters {
        counters(
            self.entries()
                .map(|entry| self.servers.counters(entry))
                .sum(),
        )
    }

    /// What it counted since it was zeroed.
    #[must_use]
    pub fn since_zero(&self) -> Counters {
        counters(self.entries().map(|entry| self.servers.shown(entry)).sum())
    }

    /// What passes in a second.
    #[must_use]
    pub fn rates(&self) -> Counters {
        counters(self.entries().map(|entry| self.servers.rates(entry)).sum())
    }

    /// Its connections.
    #[must_use]
    pub fn load(&self) -> Load {
        let loads = self.entries().map(|entry| self.servers.load(entry));
        loads.map(encode::load).sum()
    }

    /// Whether packets reach it by this method.
    #[must_use]
    pub fn standing(&self, method: Method) -> Standing {
        let entry = self.servers.entry_of(self.service, self.server, method);
        let flags = entry.map_or(0, |entry| entry.flags);
        match flags {
            flags if flags & SERVER_AVAILABLE == 0 => Standing::Removed,
            flags if flags & SERVER_LOCAL != 0 => Standing::Local,
            flags if flags & SERVER_REACHABLE != 0 => Standing::Reachable,
            _ => Standing::Unreachable,
        }
    }

    /// A server has an entry for each method that it had.
    fn entries(&self) -> impl Iterator<Item = u32> {
        self.servers.entries_of(self.service, self.server)
    }
}
