//! What the packet path counts, for those who show it.

use lb_common::server::{Counters, SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE};

use super::{servers::Servers, services::Services};
use crate::{
    desired::{Method, ServerId, ServiceId},
    ipvs::Traffic,
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

/// Connections that are in the table now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Those in a state that IPVS calls active.
    pub active: u64,
    /// All others.
    pub inactive: u64,
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
            servers: self.services.servers(),
            service: self.service,
            server,
        }
    }

    /// What servers counted that do not belong to the service any more. Together with its
    /// servers' totals it is the service's.
    #[must_use]
    pub fn former_servers(&self) -> Traffic {
        let index = self
            .index
            .map(|index| self.services.servers().retired(index));
        index.map_or_else(Traffic::default, Traffic::from)
    }

    /// What all servers counted since the service was zeroed, former ones too.
    #[must_use]
    pub fn since_zero(&self) -> Traffic {
        let shown = self.index.map(|index| {
            let total = self.services.counters(self.service);
            self.services.servers().shown_of_service(index, total)
        });
        shown.map_or_else(Traffic::default, Traffic::from)
    }

    /// What passes in a second for all servers.
    #[must_use]
    pub fn rates(&self) -> Traffic {
        let rates = self
            .index
            .map(|index| self.services.servers().rates_of_service(index));
        rates.unwrap_or_default()
    }
}

impl ServerNumbers<'_> {
    /// What it counted since it was added.
    #[must_use]
    pub fn total(&self) -> Traffic {
        let counters = self.entries().map(|entry| self.servers.counters(entry));
        counters.sum::<Counters>().into()
    }

    /// What it counted since it was zeroed.
    #[must_use]
    pub fn since_zero(&self) -> Traffic {
        let shown = self.entries().map(|entry| self.servers.shown(entry));
        shown.sum::<Counters>().into()
    }

    /// What passes in a second.
    #[must_use]
    pub fn rates(&self) -> Traffic {
        let mut sum = Traffic::default();
        self.entries()
            .for_each(|entry| sum += self.servers.rates(entry));
        sum
    }

    /// Its connections.
    #[must_use]
    pub fn load(&self) -> Load {
        let loads = self.entries().map(|entry| self.servers.load(entry));
        loads.fold(Load::default(), |sum, load| Load {
            active: sum.active + u64::from(load.active),
            inactive: sum.inactive + u64::from(load.inactive),
        })
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

impl From<Counters> for Traffic {
    fn from(counters: Counters) -> Self {
        Self {
            connections: counters.connections,
            in_packets: counters.in_packets,
            out_packets: counters.out_packets,
            in_bytes: counters.in_bytes,
            out_bytes: counters.out_bytes,
        }
    }
}
