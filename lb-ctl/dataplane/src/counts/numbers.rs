//! What the packet path counts, for those who show it.

use lb_common::server::{SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE};

use lb_model::{Counters, Load, Method, ServerId, ServiceId};

use crate::{
    counts::Counts,
    encode::{self, counters},
    maps::servers::Servers,
    tables::Tables,
};

/// What is counted for one service. Nothing is read before it is asked for.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    tables: &'a Tables,
    service: ServiceId,
    /// The service's row; `None` if packets do not find it.
    row: Option<u32>,
}

/// What is counted for one server of a service.
#[derive(Clone, Copy)]
pub struct ServerNumbers<'a> {
    servers: &'a Servers,
    counts: &'a Counts,
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
    pub(crate) fn of(tables: &'a Tables, service: ServiceId) -> Self {
        Self {
            tables,
            service,
            row: tables.row(service),
        }
    }

    /// Those of one of its servers.
    #[must_use]
    pub fn server(&self, server: ServerId) -> ServerNumbers<'a> {
        ServerNumbers {
            servers: self.tables.servers(),
            counts: self.tables.counts(),
            service: self.service,
            server,
        }
    }

    /// What servers counted that do not belong to the service any more. Together with its
    /// servers' totals it is the service's.
    #[must_use]
    pub fn former_servers(&self) -> Counters {
        self.read(|counts, row| counts.former(row))
    }

    /// What all servers counted since the service was zeroed, former ones too.
    #[must_use]
    pub fn since_zero(&self) -> Counters {
        self.read(|counts, row| counts.service_since_zero(row, self.tables.total(self.service)))
    }

    /// What passes in a second for all servers.
    #[must_use]
    pub fn rates(&self) -> Counters {
        self.read(Counts::service_rates)
    }

    fn read(&self, read: impl Fn(&Counts, u32) -> lb_common::server::Counters) -> Counters {
        let read = self.row.map(|row| read(self.tables.counts(), row));
        read.map(counters).unwrap_or_default()
    }
}

impl ServerNumbers<'_> {
    /// What it counted since it was added.
    #[must_use]
    pub fn total(&self) -> Counters {
        self.sum(Counts::counters)
    }

    /// What it counted since it was zeroed.
    #[must_use]
    pub fn since_zero(&self) -> Counters {
        self.sum(Counts::since_zero)
    }

    /// What passes in a second.
    #[must_use]
    pub fn rates(&self) -> Counters {
        self.sum(Counts::rates)
    }

    /// Its connections.
    #[must_use]
    pub fn load(&self) -> Load {
        let loads = self.entries().map(|entry| self.counts.load(entry));
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

    fn sum(&self, read: impl Fn(&Counts, u32) -> lb_common::server::Counters) -> Counters {
        counters(self.entries().map(|entry| read(self.counts, entry)).sum())
    }

    /// A server has an entry for each method that it had.
    fn entries(&self) -> impl Iterator<Item = u32> {
        self.servers.entries_of(self.service, self.server)
    }
}
