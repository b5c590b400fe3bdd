//! What the daemon tells of its director: services and servers with numbers, and connections.

use std::time::Instant;

use anyhow::Result;
use lb_api::{
    Connection, ConnectionFilter, ErrorKind, InterfaceStats, ListedServer, ListedService, Listing,
    Numbers, Page, ReasonStats, Reply, Stats, TableStats,
};
use lb_dataplane::{self as dataplane, Cursor, ServerNumbers, Standing, View};
use lb_model::{Desired, Server, Service, ServiceId, ServiceRef};

use crate::{core::Reaches, interfaces::Shown, losses::Losses};

/// What can be told.
pub struct Report<'a> {
    /// What is desired.
    pub desired: &'a Desired,
    /// How servers are reached.
    pub reaches: &'a Reaches,
    /// What is counted.
    pub view: &'a View,
    /// The interfaces.
    pub interfaces: Vec<Shown<'a>>,
    /// What keeps packets from being served.
    pub troubles: Vec<String>,
    /// Packets that are lost.
    pub losses: &'a Losses,
    /// Since when the daemon runs; nothing if none does.
    pub daemon: Option<Instant>,
}

impl Report<'_> {
    /// Everything that is counted.
    pub fn stats(&self) -> Result<Stats> {
        let drops = self.view.drops()?.into_iter();
        let passes = self.view.passes()?.into_iter();
        let counted = |reason: &str, packets| ReasonStats {
            reason: reason.to_owned(),
            packets,
        };
        let services = self.desired.services.iter();
        Ok(Stats {
            services: services
                .map(|service| self.service(service, Numbers::Total))
                .collect(),
            drops: drops
                .map(|(reason, packets)| counted(reason.name(), packets))
                .collect(),
            passes: passes
                .map(|(reason, packets)| counted(reason.name(), packets))
                .collect(),
            connections: TableStats {
                used: self.view.connections_in_use(),
                capacity: self.view.capacity().into(),
                slots: self.view.slots().into(),
            },
            memory: self.view.memory(),
            interfaces: self.interfaces.iter().map(interface).collect(),
            troubles: self.troubles.clone(),
            uptime: self.daemon.map_or(0, |since| since.elapsed().as_secs()),
            pid: self.daemon.map_or(0, |_| std::process::id()),
        })
    }

    /// One service, or all of them.
    pub fn list(&self, service: Option<&ServiceRef>, numbers: Numbers) -> Reply {
        let services = match service {
            None => {
                let services = self.desired.services.iter();
                services
                    .map(|service| self.service(service, numbers))
                    .collect()
            }
            Some(wanted) => match self.desired.services.find(wanted) {
                Some(service) => vec![self.service(service, numbers)],
                None => return self.no_service(wanted),
            },
        };
        Reply::Listing(Listing {
            capacity: self.view.capacity(),
            services,
        })
    }

    /// A page of the connections that a filter lets through.
    pub fn connections(&self, filter: &ConnectionFilter, from: u64, limit: usize) -> Reply {
        let service: Option<ServiceId> = match &filter.service {
            None => None,
            Some(wanted) => match self.desired.services.find(wanted) {
                Some(service) => Some(service.id),
                None => return self.no_service(wanted),
            },
        };
        let matches = |found: &dataplane::Connection| filter.matches(&row(found), service);
        let page = self.view.connections(Cursor::from(from), limit, matches);
        Reply::Connections(Page {
            rows: page.rows.iter().map(row).collect(),
            found: page.found,
            next: page.next.map(u64::from),
        })
    }

    fn no_service(&self, wanted: &ServiceRef) -> Reply {
        Reply::Error {
            kind: ErrorKind::NoService,
            message: lb_model::ChangeError::no_such_service(wanted, self.desired).to_string(),
        }
    }

    fn service(&self, service: &Service, numbers: Numbers) -> ListedService {
        let counted = self.view.numbers(service.id);
        let servers: Vec<_> = service
            .servers
            .iter()
            .map(|server| self.server(service, server, counted.server(server.id), numbers))
            .collect();
        let counters = match numbers {
            Numbers::Connections => Default::default(),
            Numbers::Total => {
                let of_servers = servers.iter().map(|server| server.counters);
                counted.former_servers() + of_servers.sum()
            }
            Numbers::SinceZero => counted.since_zero(),
            Numbers::Rates => counted.rates(),
        };
        ListedService {
            id: service.id,
            options: service.options.clone(),
            counters,
            servers,
        }
    }

    fn server(
        &self,
        service: &Service,
        server: &Server,
        counted: ServerNumbers<'_>,
        numbers: Numbers,
    ) -> ListedServer {
        let method = service.method(server);
        ListedServer {
            id: server.id,
            options: server.options.clone(),
            method,
            state: self
                .state(counted.standing(method), service, server)
                .to_owned(),
            load: counted.load(),
            persistent: 0,
            counters: match numbers {
                Numbers::Connections => Default::default(),
                Numbers::Total => counted.total(),
                Numbers::SinceZero => counted.since_zero(),
                Numbers::Rates => counted.rates(),
            },
        }
    }

    fn state(&self, standing: Standing, service: &Service, server: &Server) -> &'static str {
        match standing {
            Standing::Removed => "removed",
            Standing::Local => "local",
            _ if self.reaches.is_silent(server.id.address) => "next hop silent",
            Standing::Reachable if self.losses.is_mute(service.id, server.id) => "no replies",
            Standing::Reachable => "up",
            Standing::Unreachable => "next hop unknown",
        }
    }
}

fn interface(shown: &Shown<'_>) -> InterfaceStats {
    InterfaceStats {
        name: shown.name.to_owned(),
        mode: match (shown.mode, shown.attached) {
            (Some(mode), _) => mode.name(),
            (None, true) => "unknown mode",
            (None, false) => "none",
        }
        .to_owned(),
        attached: shown.attached,
        configured: shown.configured.map(str::to_owned),
        because: shown.because.map(str::to_owned),
    }
}

fn row(found: &dataplane::Connection) -> Connection {
    let &dataplane::Connection {
        protocol,
        client,
        service,
        server,
        method,
        state,
        expires,
    } = found;
    Connection {
        protocol,
        client,
        service,
        server: (server.address, server.port).into(),
        state,
        expires,
        method,
    }
}
