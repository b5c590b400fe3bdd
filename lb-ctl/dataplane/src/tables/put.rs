//! Putting a service and its servers where packets find them, and taking them out.

use std::{collections::HashSet, net::IpAddr};

use anyhow::Result;
use lb_common::{
    schedule::{Entry, Position},
    service::Service as Value,
};
use lb_model::{ServerId, Service, ServiceId};

use super::Tables;
use crate::{encode, next_hop::NextHop};

impl Tables {
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
            let is_new = !self.servers.has(&identity);
            if is_new {
                self.counts.begin_server(index);
            }
            let next_hop = next_hop(identity.server.address);
            let entry = self.servers.put(index, &identity, row, &next_hop)?;
            if is_new {
                encode::concerns(&entry).for_each(|address| self.addresses.add(address));
            }
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
        if before.is_none()
            && let Some(vip) = encode::vip(&service.id)
        {
            self.own.add_vip(vip)?;
        }
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
        if let Some(vip) = encode::vip(&id) {
            self.own.remove_vip(vip)?;
        }
        for server in members {
            self.retire(id, server);
        }
        self.rosters.give_up(value.roster);
        Ok(())
    }

    /// Takes a server out of its service, which gets what it counted.
    pub(super) fn retire(&mut self, service: ServiceId, server: ServerId) {
        for (index, row) in self.servers.retire(service, server) {
            self.counts.give(index, row);
        }
    }

    /// Frees the entries of removed servers that have no connection left; true if there were
    /// any.
    pub fn forget_unused(&mut self) -> bool {
        let counts = &self.counts;
        let forgotten = self.servers.forget_unused(|index| counts.has_load(index));
        for address in forgotten.iter().flat_map(encode::concerns) {
            self.addresses.remove(address);
        }
        !forgotten.is_empty()
    }
}
