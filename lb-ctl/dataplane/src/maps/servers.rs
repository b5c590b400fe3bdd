//! The map `servers`: which entry is whose, and how its packets leave.
//!
//! There is an entry for each service, server and forwarding method, and it stays until no
//! connection refers to it: connections keep the method that they were opened with, as in IPVS,
//! and a server that is removed and added again finds its connections again (IPVS's "trash").

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use anyhow::{Result, bail};
use lb_common::server::{SERVER_AVAILABLE, Server as Entry};
use lb_model::{Method, ServerId, ServiceId};

use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    audit::Part,
    crash::{self, Step},
    encode::{self, Identity},
    next_hop::{Hop, NextHop},
};

/// The map, and who is in it.
pub struct Servers {
    entries: Kept<Entry>,
    by_identity: HashMap<Identity, u32>,
    by_address: HashMap<IpAddr, HashSet<u32>>,
    free: BTreeSet<u32>,
    /// Entries of servers that were removed, to which connections may refer.
    removed: BTreeSet<u32>,
}

/// An entry in use.
pub struct Used {
    /// Its index.
    pub index: u32,
    /// Whose it is.
    pub identity: Identity,
    /// The service's row where services are counted.
    pub row: u32,
    /// Whether the server belongs to the service.
    pub is_available: bool,
}

impl Servers {
    /// Reads the map. `is_used` says of an entry that belongs to nobody (somebody else has
    /// overwritten it) whether connections refer to it.
    pub fn new(entries: Mapped<Entry>, is_used: impl Fn(u32) -> bool) -> Result<Self> {
        let mut servers = Self {
            free: (0..entries.entries()).collect(),
            entries: Kept::adopt(entries)?,
            by_identity: HashMap::new(),
            by_address: HashMap::new(),
            removed: BTreeSet::new(),
        };
        for index in 0..servers.capacity() {
            let Some(entry) = servers.entries.read(index) else {
                continue;
            };
            if let Some(identity) = encode::identity(&entry) {
                servers.remember(index, identity);
                if entry.flags & SERVER_AVAILABLE == 0 {
                    servers.removed.insert(index);
                }
            } else if is_used(index) {
                servers.free.remove(&index);
            }
        }
        Ok(servers)
    }

    /// All entries in a larger map, which no packet meets yet.
    pub fn copied_to(&self, entries: Mapped<Entry>) -> Result<Kept<Entry>> {
        self.entries.copied_to(entries)
    }

    /// Leaves the map for the larger one.
    pub fn move_to(&mut self, larger: Kept<Entry>) {
        self.free.extend(self.capacity()..larger.entries());
        self.entries = larger;
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.entries.bytes()
    }

    /// Entries in all.
    pub fn capacity(&self) -> u32 {
        self.entries.entries()
    }

    /// Entries that are free.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// True if there is an entry for this server.
    pub fn has(&self, identity: &Identity) -> bool {
        self.by_identity.contains_key(identity)
    }

    /// True if a server has this address, or if a removed one has that is not forgotten.
    pub fn have(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Whose entry it is.
    pub fn identity(&self, index: u32) -> Option<Identity> {
        encode::identity(&self.entries.read(index)?)
    }

    /// A server's entry for one method.
    pub fn entry_of(&self, service: ServiceId, server: ServerId, method: Method) -> Option<Entry> {
        let identity = Identity {
            service,
            server,
            method,
        };
        self.entries.read(*self.by_identity.get(&identity)?)
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

    /// All entries in use.
    pub fn all(&self) -> impl Iterator<Item = Used> {
        let entries = self.by_identity.iter();
        entries.filter_map(|(&identity, &index)| {
            let entry = self.entries.read(index)?;
            Some(Used {
                index,
                identity,
                row: entry.service,
                is_available: entry.flags & SERVER_AVAILABLE != 0,
            })
        })
    }

    /// The servers that belong to their services: index, and the service's row.
    pub fn available(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..self.capacity())
            .filter_map(|index| Some((index, self.entries.read(index)?)))
            .filter(|(_, entry)| entry.flags & SERVER_AVAILABLE != 0)
            .map(|(index, entry)| (index, entry.service))
    }

    /// The entries in use themselves.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let indices = self.by_identity.values();
        indices.filter_map(|&index| self.entries.read(index))
    }

    /// The index of a server's entry; a free one if it has none.
    pub fn place(&self, identity: &Identity) -> Result<u32> {
        let known = self.by_identity.get(identity);
        let Some(&index) = known.or_else(|| self.free.first()) else {
            bail!(
                "no room for server {} of {} among the {} of this instance",
                identity.server,
                identity.service,
                self.capacity()
            );
        };
        Ok(index)
    }

    /// Writes the entry of a server that belongs to its service, at its [place](Self::place).
    pub fn put(
        &mut self,
        index: u32,
        identity: &Identity,
        row: u32,
        next_hop: &NextHop,
    ) -> Result<Entry> {
        let mut entry = match self.by_identity.contains_key(identity) {
            true => self.entries.read(index).unwrap_or_default(),
            false => encode::entry(identity)?,
        };
        entry.service = row;
        entry.flags |= SERVER_AVAILABLE;
        encode::set_next_hop(&mut entry, next_hop);
        self.remember(index, *identity);
        self.removed.remove(&index);
        if self.entries.read(index) != Some(entry) {
            self.entries.write(index, entry);
            crash::after(Step::ServerWritten);
        }
        Ok(entry)
    }

    /// Takes a server out of its service: its packets are dropped, and its entry is freed when
    /// its last connection is gone. Gives the entries that this changed, and the service's row.
    pub fn retire(&mut self, service: ServiceId, server: ServerId) -> Vec<(u32, u32)> {
        let indices: Vec<_> = self.entries_of(service, server).collect();
        let mut retired = Vec::new();
        for index in indices {
            if let Some(mut entry) = self.entries.read(index)
                && entry.flags & SERVER_AVAILABLE != 0
            {
                entry.flags &= !SERVER_AVAILABLE;
                self.entries.write(index, entry);
                crash::after(Step::ServerRetired);
                self.removed.insert(index);
                retired.push((index, entry.service));
            }
        }
        retired
    }

    /// Frees the entries of removed servers to which no connection refers; gives what they were.
    pub fn forget_unused(&mut self, is_used: impl Fn(u32) -> bool) -> Vec<Entry> {
        let unused: Vec<_> = self
            .removed
            .iter()
            .filter(|&&index| !is_used(index))
            .filter_map(|&index| Some((self.identity(index)?, index)))
            .collect();
        let mut forgotten = Vec::with_capacity(unused.len());
        for &(identity, index) in &unused {
            forgotten.extend(self.entries.read(index));
            self.entries.write(index, Entry::default());
            crash::after(Step::ServerForgotten);
            self.forget(index, &identity);
        }
        forgotten
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
                crash::after(Step::NextHopWritten);
            }
        }
    }

    /// The next hop of an address, if its packets leave by this interface.
    pub fn hop(&self, address: IpAddr, interface: u32) -> Option<Hop> {
        let indices = self.by_address.get(&address)?.iter();
        let entries = indices.filter_map(|&index| self.entries.read(index));
        let mut hops = entries.map(|entry| encode::next_hop(&entry));
        hops.find_map(|next_hop| match next_hop {
            NextHop::Ethernet(hop) if hop.interface == interface => Some(hop),
            _ => None,
        })
    }

    /// Repairs a part of the entries that somebody else has changed; says whose they are.
    pub fn repair(&self, part: Part) -> Vec<String> {
        let changed = self.entries.repair(part.of(self.capacity())).into_iter();
        changed
            .filter_map(|index| self.identity(index))
            .map(|identity| {
                format!(
                    "server {} of {} was changed in the map `servers`",
                    identity.server, identity.service
                )
            })
            .collect()
    }

    fn remember(&mut self, index: u32, identity: Identity) {
        self.by_identity.insert(identity, index);
        self.by_address
            .entry(identity.server.address)
            .or_default()
            .insert(index);
        self.free.remove(&index);
    }

    fn forget(&mut self, index: u32, identity: &Identity) {
        self.removed.remove(&index);
        self.by_identity.remove(identity);
        if let Some(indices) = self.by_address.get_mut(&identity.server.address) {
            indices.remove(&index);
            if indices.is_empty() {
                self.by_address.remove(&identity.server.address);
            }
        }
        self.free.insert(index);
    }
}
