//! What packets find: services, their rosters and their servers; and what those count.
//!
//! The order of what is written leaves nothing that misleads a packet, wherever the daemon dies:
//! a server's entry is there before a roster has it, a roster before a service refers to it. The
//! next start [finishes](Tables::finish) what was begun.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use anyhow::Result;
use lb_common::{
    schedule::{Entry, Position},
    server::{Counters, Server},
    service::Service as Value,
};
use lb_model::{ServerId, Service, ServiceId};

use crate::{
    audit::Part,
    counts::{self, Counts},
    encode,
    kept::Kept,
    life::room::{RoomMaps, Size},
    maps::{
        addresses::Addresses,
        servers::{Servers, Used},
        services::{self, Services},
    },
    next_hop::NextHop,
    rosters::Rosters,
};

/// The maps of services and servers.
pub struct Tables {
    services: Services,
    rosters: Rosters,
    servers: Servers,
    counts: Counts,
    addresses: Addresses,
}

/// The maps of a larger room, which say the same.
pub struct Larger {
    services: services::Map,
    rosters: Rosters,
    servers: Kept<Server>,
    counts: counts::Larger,
}

impl Tables {
    /// Reads what the maps of a room say, and finishes what a daemon that crashed has begun.
    pub fn new(
        services: services::Map,
        mut rosters: Rosters,
        servers: Servers,
        counts: Counts,
        addresses: Addresses,
    ) -> Result<Self> {
        let services = Services::new(services, servers.capacity(), |value| rosters.adopt(value))?;
        let mut this = Self {
            services,
            rosters,
            servers,
            counts,
            addresses,
        };
        this.finish();
        Ok(this)
    }

    /// Finishes what a daemon that crashed has begun: servers in no roster are removed, and what
    /// removed servers counted goes to their services.
    fn finish(&mut self) {
        self.counts.finish_giving();
        let rosters: HashMap<_, _> = self
            .services
            .all()
            .map(|(id, value)| (id, (value.index, self.members(value))))
            .collect();
        // Nothing if the service is gone.
        let belongs = |row, identity: &encode::Identity| {
            let (own, members) = rosters.get(&identity.service)?;
            (*own == row).then(|| members.contains(&identity.server))
        };
        let all: Vec<_> = self.servers.all().collect();
        for used in all {
            let Used {
                index,
                identity,
                row,
                is_available,
            } = used;
            let belongs = belongs(row, &identity);
            if !is_available {
                if belongs.is_some() && self.counts.counters(index) != Counters::default() {
                    self.counts.give(index, row);
                }
            } else if belongs != Some(true) {
                tracing::info!(
                    "server {} was being removed from {}, or added: it is removed",
                    identity.server,
                    identity.service
                );
                self.retire(identity.service, identity.server);
            }
        }
    }

    /// The servers of a service's roster.
    fn members(&self, value: &Value) -> HashSet<ServerId> {
        let entries = self.rosters.read(value.roster, value.servers);
        let identities = entries
            .iter()
            .filter_map(|entry| self.servers.identity(entry.server));
        identities.map(|identity| identity.server).collect()
    }

    /// Makes a service what it should be. Packets see the old roster or the new one, whole.
    /// Nothing is written that is there already.
    pub fn put(&mut self, service: &Service, next_hop: impl Fn(IpAddr) -> NextHop) -> Result<()> {
        let wanted = encode::value(service)?;
        let old = self.services.get(service.id);
        let row = match old {
            Some(value) => value.index,
            None => {
                let row = self.services.place(service.id)?;
                self.counts.begin_service(row);
                row
            }
        };
        let mut entries = Vec::with_capacity(service.servers.len());
        let mut members = HashSet::with_capacity(service.servers.len());
        for server in &service.servers {
            let (identity, weight) = encode::roster_entry(service, server);
            let index = self.servers.place(&identity)?;
            if !self.servers.has(&identity) {
                self.counts.begin_server(index);
            }
            let next_hop = next_hop(identity.server.address);
            let entry = self.servers.put(index, &identity, row, &next_hop)?;
            encode::concerns(&entry).for_each(|address| self.addresses.mark(address));
            members.insert(identity.server);
            entries.push(Entry {
                server: index,
                weight,
            });
        }
        let wanted = Value {
            roster: old.map_or(0, |value| value.roster),
            index: row,
            ..wanted
        };
        let before = old.map(|value| (value, self.rosters.read(value.roster, value.servers)));
        let same = |(value, before): &(Value, Vec<Entry>)| *value == wanted && *before == entries;
        if !before.as_ref().is_some_and(same) {
            self.replace(service, wanted, &entries, before.as_ref())?;
        }
        let (_, before) = before.unwrap_or_default();
        let gone: Vec<_> = before
            .iter()
            .filter_map(|entry| self.servers.identity(entry.server))
            .filter(|identity| !members.contains(&identity.server))
            .collect();
        for identity in gone {
            self.retire(identity.service, identity.server);
        }
        Ok(())
    }

    /// Writes a roster, and has the service refer to it.
    fn replace(
        &mut self,
        service: &Service,
        wanted: Value,
        entries: &[Entry],
        before: Option<&(Value, Vec<Entry>)>,
    ) -> Result<()> {
        let scheduler = encode::scheduler_number(&service.options.scheduler)?;
        let position = match before {
            Some((value, before)) => {
                let position = match value.scheduler == wanted.scheduler {
                    true => self.rosters.position(value.roster),
                    false => Position::default(),
                };
                scheduler.position_after(before, position, entries)
            }
            None => scheduler.position_of_new(entries),
        };
        let value = Value {
            roster: self.rosters.write(scheduler, entries, position)?,
            ..wanted
        };
        if let Err(error) = self.services.write(service.id, value) {
            self.rosters.give_up(value.roster);
            return Err(error);
        }
        if let Some((old, _)) = before {
            self.rosters.give_up(old.roster);
        }
        Ok(())
    }

    /// Removes a service; nothing happens if packets do not find it.
    pub fn remove(&mut self, id: ServiceId) -> Result<()> {
        let Some(value) = self.services.get(id) else {
            return Ok(());
        };
        let members = self.members(&value);
        self.services.remove(id)?;
        for server in members {
            self.retire(id, server);
        }
        self.rosters.give_up(value.roster);
        Ok(())
    }

    /// Takes a server out of its service, which gets what it counted.
    fn retire(&mut self, service: ServiceId, server: ServerId) {
        for (index, row) in self.servers.retire(service, server) {
            self.counts.give(index, row);
        }
    }

    /// Frees the entries of removed servers that have no connection left; true if there were
    /// any.
    pub fn forget_unused(&mut self) -> bool {
        let counts = &self.counts;
        self.servers.forget_unused(|index| counts.has_load(index))
    }

    /// The size of the room.
    pub fn size(&self) -> Size {
        Size {
            places: self.servers.capacity(),
            lines: self.rosters.lines(),
        }
    }

    /// What a room has to hold so that these services can be put; `None` if this room holds
    /// them.
    pub fn lacks<'a>(&self, services: impl Iterator<Item = &'a Service>) -> Result<Option<Size>> {
        let (mut new_services, mut new_servers, mut lines) = (0, 0, 0);
        for service in services {
            let scheduler = encode::scheduler_number(&service.options.scheduler)?;
            lines += scheduler.roster_lines(service.servers.len() as u32);
            new_services += u32::from(self.services.get(service.id).is_none());
            for server in &service.servers {
                let (identity, _) = encode::roster_entry(service, server);
                new_servers += u32::from(!self.servers.has(&identity));
            }
        }
        let all = self.size();
        let servers = all.places - self.servers.free() + new_servers;
        let services = all.places - self.services.free() + new_services;
        let needed = Size {
            places: servers.max(services),
            lines: self.rosters.used() + lines,
        };
        let fits = needed.max(all) == all;
        Ok((!fits).then_some(needed))
    }

    /// Copies everything to the maps of a larger room, which no packet meets yet.
    pub fn copied_to(&self, mut room: RoomMaps) -> Result<Larger> {
        self.services.copy_to(&mut room.services)?;
        Ok(Larger {
            services: room.services,
            rosters: self.rosters.copied_to(room.rosters)?,
            servers: self.servers.copied_to(room.servers)?,
            counts: self
                .counts
                .copied_to(room.counters, room.retired, room.zeros),
        })
    }

    /// Moves to a larger room, whose program handles all packets by now.
    pub fn move_to(&mut self, larger: Larger) {
        self.counts.move_to(larger.counts);
        let before = self.servers.capacity();
        self.servers.move_to(larger.servers);
        self.rosters = larger.rosters;
        self.services
            .move_to(larger.services, before..self.servers.capacity());
    }

    /// Repairs a part of what somebody else may have changed; says what it was.
    pub fn repair(&mut self, part: Part) -> Result<Vec<String>> {
        let mut repaired = self.servers.repair(part);
        repaired.extend(self.addresses.repair());
        for first in self.rosters.repair(part.of(self.rosters.lines())) {
            let mut all = self.services.all();
            repaired.push(match all.find(|(_, value)| value.roster == first) {
                Some((id, _)) => format!("the roster of {id} was changed in the map `rosters`"),
                None => "an old roster was changed in the map `rosters`".to_owned(),
            });
        }
        repaired.extend(self.services.repair(part)?);
        Ok(repaired)
    }

    /// The services that packets find, in no order.
    pub fn services(&self) -> Vec<ServiceId> {
        self.services.all().map(|(id, _)| id).collect()
    }

    /// A service's row where services are counted.
    pub fn row(&self, service: ServiceId) -> Option<u32> {
        self.services.get(service).map(|value| value.index)
    }

    /// What a service's servers counted, former ones too.
    pub fn total(&self, service: ServiceId) -> Counters {
        let Some(value) = self.services.get(service) else {
            return Counters::default();
        };
        let counted: Counters = self
            .entries(service, &value)
            .map(|index| self.counts.counters(index))
            .sum();
        self.counts.former(value.index) + counted
    }

    /// Shows what these services and their servers count from here on.
    pub fn zero(&mut self, services: &[ServiceId]) {
        for &service in services {
            let Some(value) = self.services.get(service) else {
                continue;
            };
            let total = self.total(service);
            self.counts.zero_service(value.index, total);
            let entries: Vec<_> = self.entries(service, &value).collect();
            for index in entries {
                self.counts.zero(index);
            }
        }
    }

    /// The entries of all servers of a service, for each method that they had.
    fn entries(&self, service: ServiceId, value: &Value) -> impl Iterator<Item = u32> {
        self.members(value)
            .into_iter()
            .flat_map(move |server| self.servers.entries_of(service, server))
    }

    /// Estimates the rates of all services and servers.
    pub fn estimate_rates(&mut self) {
        let rows = self.services.all().map(|(_, value)| value.index);
        self.counts.estimate(self.servers.available(), rows);
    }

    /// The servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What they count.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Bytes of memory, without hash maps.
    pub fn bytes(&self) -> u64 {
        self.rosters.bytes() + self.servers.bytes() + self.counts.bytes() + self.addresses.bytes()
    }
}
