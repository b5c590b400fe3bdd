//! Server entries: which belongs to whom, their counters, and how they are reached.
//!
//! An entry is made for each (service, server, forwarding method) and stays until nothing
//! remembers it: connections keep the method that they were opened with, as in IPVS, and a
//! server that is removed and added again finds its connections again (IPVS's "trash").

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::atomic::Ordering::SeqCst,
};

use anyhow::{Result, bail};
use lb_common::{
    address_filter,
    server::{Counters, Load, SERVER_AVAILABLE, Server as Entry},
};

use lb_model::{Method, ServerId, ServiceId};

use super::{
    audit::Part,
    encode::{self, Identity},
    kept::Kept,
    mapped::{Mapped, add},
    next_hop::{Hop, NextHop},
    retired::Retired,
    room::Tally,
    shown::{Counted, Shown},
};
use crate::crash::{self, Step};

/// The maps `servers`, `loads`, `counters` and `retired`, and the marks of addresses.
pub struct Servers {
    entries: Kept<Entry>,
    loads: Mapped<u64>,
    counters: Mapped<Counters>,
    retired: Retired,
    shown: Shown,
    addresses: Kept<u64>,
    by_identity: HashMap<Identity, u32>,
    by_address: HashMap<IpAddr, HashSet<u32>>,
    free: BTreeSet<u32>,
    /// Entries of servers that were removed, and that connections may remember.
    removed: BTreeSet<u32>,
}

impl Servers {
    /// Reads what is there.
    pub fn new(
        entries: Mapped<Entry>,
        loads: Mapped<u64>,
        counters: Mapped<Counters>,
        retired: Retired,
        zeros: Mapped<Counters>,
        addresses: Mapped<u64>,
    ) -> Result<Self> {
        let mut servers = Self {
            free: (0..entries.entries()).collect(),
            entries: Kept::adopt(entries)?,
            loads,
            counters,
            retired,
            shown: Shown::new(zeros),
            addresses: Kept::adopt(addresses)?,
            by_identity: HashMap::new(),
            by_address: HashMap::new(),
            removed: BTreeSet::new(),
        };
        for index in 0..servers.entries.entries() {
            let Some(entry) = servers.entries.read(index) else {
                continue;
            };
            if let Some(identity) = encode::identity(&entry) {
                servers.remember(index, identity);
                if entry.flags & SERVER_AVAILABLE == 0 {
                    servers.removed.insert(index);
                }
            } else if servers.load(index) != Load::default() {
                // Somebody overwrote it, and connections still refer to it.
                servers.free.remove(&index);
            }
        }
        Ok(servers)
    }

    /// Copies all that is known of servers to the maps of a larger room, but for what they
    /// count as long as packets come. Gives what [`Self::move_to`] takes.
    pub fn copied_to(
        &self,
        entries: Mapped<Entry>,
        counters: Mapped<Counters>,
        retired: Mapped<Counters>,
        zeros: Mapped<Counters>,
    ) -> Result<Larger> {
        self.retired.copy_to(&retired);
        self.shown.copy_to(&zeros);
        let larger = Larger {
            entries: self.entries.copied_to(entries)?,
            counters,
            retired,
            zeros,
        };
        self.carry_to(&larger);
        Ok(larger)
    }

    /// Carries what servers counted so far.
    pub fn carry_to(&self, larger: &Larger) {
        let there = Tally::of(&larger.counters, larger.entries.entries());
        self.tally().carry_to(&there);
    }

    /// Takes over what was counted in an earlier room.
    pub fn carry_from(&self, earlier: &Tally<'_>) {
        earlier.carry_to(&self.tally());
    }

    /// Leaves the old maps, which no packet meets any more.
    pub fn move_to(&mut self, larger: Larger) {
        self.free.extend(self.capacity()..larger.entries.entries());
        self.entries = larger.entries;
        self.counters = larger.counters;
        self.retired.move_to(larger.retired);
        self.shown.move_to(larger.zeros);
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.entries.bytes()
            + self.loads.bytes()
            + self.counters.bytes()
            + self.retired.bytes()
            + self.shown.bytes()
            + self.addresses.bytes()
    }

    /// Entries that are free.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// True where there is an entry for this one.
    pub fn has(&self, identity: &Identity) -> bool {
        self.by_identity.contains_key(identity)
    }

    /// Entries in all.
    pub fn capacity(&self) -> u32 {
        self.entries.entries()
    }

    /// The identity of an entry in use.
    pub fn identity(&self, index: u32) -> Option<Identity> {
        encode::identity(&self.entries.read(index)?)
    }

    /// A server's entry for one method, as the packet path sees it.
    pub fn entry_of(&self, service: ServiceId, server: ServerId, method: Method) -> Option<Entry> {
        let identity = Identity {
            service,
            server,
            method,
        };
        self.entries.read(*self.by_identity.get(&identity)?)
    }

    /// Connections of each entry.
    pub fn loads(&self) -> &Mapped<u64> {
        &self.loads
    }

    /// True where a server has this address, be it a removed one.
    pub fn have(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// The entry for a server, made or brought back to life as needed, with this next hop.
    pub fn place(
        &mut self,
        identity: Identity,
        service_index: u32,
        next_hop: &NextHop,
    ) -> Result<u32> {
        let known = self.by_identity.get(&identity).copied();
        let Some(index) = known.or_else(|| self.free.first().copied()) else {
            bail!(
                "no room for server {} of {} among the {} of this instance",
                identity.server,
                identity.service,
                self.entries.entries()
            );
        };
        let mut entry = self.entries.read(index).unwrap_or_default();
        if known.is_none() {
            entry = encode::entry(&identity)?;
            self.clear_counters(index);
            crash::after(Step::CountersCleared);
            self.remember(index, identity);
        }
        entry.service = service_index;
        entry.flags |= SERVER_AVAILABLE;
        self.removed.remove(&index);
        encode::set_next_hop(&mut entry, next_hop);
        if self.entries.read(index) != Some(entry) {
            self.entries.write(index, entry);
            crash::after(Step::ServerWritten);
        }
        encode::concerns(&entry).for_each(|address| self.concern(address));
        Ok(index)
    }

    /// A server was removed from its service: its packets are dropped, and its entry goes when
    /// its last connection has. What it counted goes to its service.
    pub fn retire(&mut self, service: ServiceId, server: ServerId) {
        for method in encode::METHODS {
            let identity = Identity {
                service,
                server,
                method,
            };
            let Some(&index) = self.by_identity.get(&identity) else {
                continue;
            };
            let Some(mut entry) = self.entries.read(index) else {
                continue;
            };
            if entry.flags & SERVER_AVAILABLE == 0 {
                continue;
            }
            entry.flags &= !SERVER_AVAILABLE;
            self.entries.write(index, entry);
            crash::after(Step::ServerRetired);
            self.removed.insert(index);
            self.give_count(index, entry.service);
        }
    }

    /// Finishes what a daemon that crashed has begun. `belongs` says of a service's row and a
    /// server whether that is in the service's roster, and nothing where the service is gone.
    pub fn finish(&mut self, belongs: impl Fn(u32, Identity) -> Option<bool>) {
        self.finish_giving_count();
        let used: Vec<_> = self.by_identity.iter().map(|(&id, &i)| (id, i)).collect();
        for (identity, index) in used {
            let Some(entry) = self.entries.read(index) else {
                continue;
            };
            let belongs = belongs(entry.service, identity);
            if entry.flags & SERVER_AVAILABLE == 0 {
                if belongs.is_some() && self.counters(index) != Counters::default() {
                    self.give_count(index, entry.service);
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

    /// What a server counted goes to its service.
    fn give_count(&mut self, index: u32, service: u32) {
        self.retired.note(service, index, self.counters(index));
        self.finish_giving_count();
    }

    fn finish_giving_count(&mut self) {
        if let Some(server) = self.retired.take() {
            self.clear_counters(server);
            crash::after(Step::CountTaken);
            self.retired.forget();
        }
    }

    /// Frees the entries of removed servers that no connection remembers any more; true where
    /// there were any.
    pub fn forget_unused(&mut self) -> bool {
        let unused: Vec<_> = self
            .removed
            .iter()
            .filter(|&&index| self.load(index) == Load::default())
            .filter_map(|&index| Some((self.identity(index)?, index)))
            .collect();
        for &(identity, index) in &unused {
            self.entries.write(index, Entry::default());
            crash::after(Step::ServerForgotten);
            self.removed.remove(&index);
            self.by_identity.remove(&identity);
            if let Some(indices) = self.by_address.get_mut(&identity.server.address) {
                indices.remove(&index);
                if indices.is_empty() {
                    self.by_address.remove(&identity.server.address);
                }
            }
            self.free.insert(index);
        }
        !unused.is_empty()
    }

    /// Changes the next hop of all servers with this address.
    pub fn set_next_hop(&self, address: IpAddr, next_hop: &NextHop) {
        for &index in self.by_address.get(&address).into_iter().flatten() {
            let Some(mut entry) = self.entries.read(index) else {
                continue;
            };
            let before = entry;
            encode::set_next_hop(&mut entry, next_hop);
            if entry != before {
                self.entries.write(index, entry);
                crash::after(Step::ReachWritten);
            }
        }
    }

    /// The next hop that the packet path has for an address, if packets leave by this interface.
    pub fn hop(&self, address: IpAddr, interface: u32) -> Option<Hop> {
        let indices = self.by_address.get(&address)?.iter();
        let entries = indices.filter_map(|&index| self.entries.read(index));
        let mut hops = entries.map(|entry| encode::next_hop(&entry));
        hops.find_map(|next_hop| match next_hop {
            NextHop::Ethernet(hop) if hop.interface == interface => Some(hop),
            _ => None,
        })
    }

    /// Repairs a part of what somebody else may have changed; says what it was.
    pub fn repair(&self, part: Part) -> Vec<String> {
        let changed = self.entries.repair(part.of(self.capacity()));
        let mut repaired: Vec<_> = changed
            .into_iter()
            .filter_map(|index| self.identity(index))
            .map(
                |Identity {
                     server, service, ..
                 }| {
                    format!("server {server} of {service} was changed in the map `servers`")
                },
            )
            .collect();
        if !self
            .addresses
            .repair(0..self.addresses.entries())
            .is_empty()
        {
            repaired.push("the bitmap of addresses in the map `settings` was changed".to_owned());
        }
        repaired
    }

    /// The entries of one server of a service: one for each method that it had.
    pub fn entries_of(&self, service: ServiceId, server: ServerId) -> impl Iterator<Item = u32> {
        encode::METHODS.into_iter().filter_map(move |method| {
            let identity = Identity {
                service,
                server,
                method,
            };
            self.by_identity.get(&identity).copied()
        })
    }

    /// The connections of an entry.
    pub fn load(&self, index: u32) -> Load {
        let bits = self.loads.word(index, 0).map_or(0, |w| w.load(SeqCst));
        Load::from_bits(bits)
    }

    /// True where any server has a connection.
    pub fn have_connections(&self) -> bool {
        (0..self.capacity()).any(|index| self.load(index) != Load::default())
    }

    /// The connections of all servers, removed ones too.
    pub fn connections(&self) -> u64 {
        self.by_identity
            .values()
            .map(|&index| self.load(index))
            .map(|load| u64::from(load.active) + u64::from(load.inactive))
            .sum()
    }

    /// What an entry counted, on all CPUs.
    pub fn counters(&self, index: u32) -> Counters {
        self.tally().total(index)
    }

    /// What an entry counted since it was zeroed.
    pub fn shown(&self, index: u32) -> Counters {
        self.shown
            .since_zero(Counted::Server(index), self.counters(index))
    }

    /// What passes in a second.
    pub fn rates(&self, index: u32) -> Counters {
        self.shown.rates(Counted::Server(index))
    }

    /// What a service's servers counted since it was zeroed, of which `counters` are the total.
    pub fn shown_of_service(&self, service: u32, counters: Counters) -> Counters {
        self.shown.since_zero(Counted::Service(service), counters)
    }

    /// What passes in a second for all servers of a service.
    pub fn rates_of_service(&self, service: u32) -> Counters {
        self.shown.rates(Counted::Service(service))
    }

    /// Lets what an entry counts be shown from here on.
    pub fn zero(&mut self, index: u32) {
        let counters = self.counters(index);
        self.shown.zero(Counted::Server(index), counters);
    }

    /// Lets what a service counts be shown from here on.
    pub fn zero_service(&mut self, service: u32, counters: Counters) {
        self.shown.zero(Counted::Service(service), counters);
    }

    /// Estimates the rates of all servers and of these services. To be called every
    /// [`Shown::TICK`].
    pub fn estimate(&mut self, services: impl Iterator<Item = u32>) {
        let mut totals = vec![Counters::default(); self.capacity() as usize];
        for index in 0..self.capacity() {
            let Some(entry) = self.entries.read(index) else {
                continue;
            };
            // What a removed server counted, its service has taken over.
            if entry.flags & SERVER_AVAILABLE == 0 {
                continue;
            }
            let counters = self.counters(index);
            self.shown.tick(Counted::Server(index), counters);
            if let Some(total) = totals.get_mut(entry.service as usize) {
                *total = *total + counters;
            }
        }
        for service in services {
            let total = totals.get(service as usize).copied().unwrap_or_default();
            let total = total + self.retired(service);
            self.shown.tick(Counted::Service(service), total);
        }
    }

    /// What a service's former servers counted.
    pub fn retired(&self, service: u32) -> Counters {
        self.retired.of(service)
    }

    /// Starts a new service's count.
    pub fn clear_retired(&mut self, service: u32) {
        self.shown.forget(Counted::Service(service));
        self.retired.clear(service);
    }

    /// Changes the connections of an entry.
    pub fn add_load(&self, index: u32, change: u64) {
        if let Some(load) = self.loads.word(index, 0) {
            add(load, change);
        }
    }

    fn clear_counters(&mut self, index: u32) {
        self.shown.forget(Counted::Server(index));
        for row in self.tally().rows(index) {
            self.counters.write(row, Counters::default());
        }
    }

    fn tally(&self) -> Tally<'_> {
        Tally::of(&self.counters, self.capacity())
    }

    fn remember(&mut self, index: u32, identity: Identity) {
        self.by_identity.insert(identity, index);
        self.by_address
            .entry(identity.server.address)
            .or_default()
            .insert(index);
        self.free.remove(&index);
    }

    /// From now on, packets from or to this address are looked at.
    fn concern(&self, address: u32) {
        let (word, bit) = address_filter::place(address);
        if let Some(bits) = self.addresses.read(word)
            && bits & bit == 0
        {
            self.addresses.write(word, bits | bit);
            crash::after(Step::AddressWritten);
        }
    }
}

/// The maps of a larger room.
pub struct Larger {
    entries: Kept<Entry>,
    counters: Mapped<Counters>,
    retired: Mapped<Counters>,
    zeros: Mapped<Counters>,
}
