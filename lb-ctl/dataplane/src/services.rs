//! Making the maps say what is desired: services, their rosters, their servers.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    net::IpAddr,
    os::fd::AsFd as _,
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Pod,
    maps::{HashMap as BpfHashMap, IterableMap as _, MapData, MapError},
};
use lb_common::{
    schedule::{Entry, Position},
    server::Counters,
    service::{Service as Value, ServiceKey},
};

use lb_model::{Name, ServerId, Service, ServiceId};

use super::{
    audit::Part,
    encode::{self, key, service_id},
    names::Names,
    next_hop::NextHop,
    room::{Room, Size},
    rosters::Rosters,
    servers::{self, Servers},
    syscall,
};
use crate::crash::{self, Step};

/// The map `services`, with all that belongs to it.
pub struct Services {
    map: BpfHashMap<MapData, ServiceKey, Value>,
    values: HashMap<ServiceId, Value>,
    names: Names,
    rosters: Rosters,
    servers: Servers,
    free: BTreeSet<u32>,
    walk: Walk,
}

/// A look through the map, a part at a time.
#[derive(Default)]
struct Walk {
    cursor: Option<u32>,
    seen: usize,
}

/// More than stand in any one bucket of a hash map.
const LEAST_AT_ONCE: u32 = 256;

impl Services {
    /// Reads what is there.
    pub fn new(
        map: BpfHashMap<MapData, ServiceKey, Value>,
        names: Names,
        mut rosters: Rosters,
        servers: Servers,
    ) -> Result<Self> {
        let mut values = HashMap::new();
        let mut free: BTreeSet<u32> = (0..servers.capacity()).collect();
        for item in map.iter() {
            let (key, value) = item.context("cannot read the map `services`")?;
            // One that somebody else wrote, or spoilt, is nobody's: it is written anew where it
            // is desired.
            if let Some(id) = service_id(&key)
                && free.contains(&value.index)
                && rosters.adopt(&value)
            {
                free.remove(&value.index);
                values.insert(id, value);
            }
        }
        let mut this = Self {
            map,
            values,
            names,
            rosters,
            servers,
            free,
            walk: Walk::default(),
        };
        this.finish()?;
        Ok(this)
    }

    /// Finishes what a daemon that crashed has begun.
    fn finish(&mut self) -> Result<()> {
        self.names.keep(|id| self.values.contains_key(&id))?;
        let rosters = self.values.iter().map(|(&id, value)| {
            let entries = self.rosters.read(value.roster, value.servers);
            let servers = entries
                .iter()
                .filter_map(|e| self.servers.identity(e.server));
            let servers: HashSet<_> = servers.map(|identity| identity.server).collect();
            (id, (value.index, servers))
        });
        let rosters: HashMap<_, _> = rosters.collect();
        self.servers.finish(|row, identity| {
            let (own, servers) = rosters.get(&identity.service)?;
            (*own == row).then(|| servers.contains(&identity.server))
        });
        Ok(())
    }

    /// Repairs a part of what somebody else may have changed; says what it was.
    pub fn repair(&mut self, part: Part) -> Result<Vec<String>> {
        let mut repaired = self.servers.repair(part);
        for first in self.rosters.repair(part.of(self.rosters.lines())) {
            let of = self.values.iter().find(|(_, value)| value.roster == first);
            repaired.push(match of {
                Some((id, _)) => format!("the roster of {id} was changed in the map `rosters`"),
                None => "an old roster was changed in the map `rosters`".to_owned(),
            });
        }
        if part.is_first() || self.walk.cursor.is_some() {
            self.repair_entries(&mut repaired)
                .context("cannot look through the map `services`")?;
        }
        Ok(repaired)
    }

    fn repair_entries(&mut self, repaired: &mut Vec<String>) -> Result<()> {
        let at_once = LEAST_AT_ONCE + self.values.len() as u32 / (Part::ALL - 2);
        let mut entries = vec![(ServiceKey::default(), Value::default()); at_once as usize];
        let map = self.map.map().fd().as_fd();
        let count = syscall::read_hash(map, &mut self.walk.cursor, &mut entries)?;
        for (key, value) in entries.into_iter().take(count) {
            match service_id(&key).and_then(|id| Some((id, *self.values.get(&id)?))) {
                Some((_, wanted)) if value == wanted => self.walk.seen += 1,
                Some((id, wanted)) => {
                    self.map.insert(key, wanted, 0)?;
                    self.walk.seen += 1;
                    repaired.push(format!("{id} was changed in the map `services`"));
                }
                None => {
                    self.map.remove(&key)?;
                    repaired.push(format!(
                        "a service that is not ours stood in the map `services`: {key:?}"
                    ));
                }
            }
        }
        if self.walk.cursor.is_some() {
            return Ok(());
        }
        // Where one is missing, or where there was an edit meanwhile.
        if std::mem::take(&mut self.walk).seen != self.values.len() {
            for (&id, value) in &self.values {
                if matches!(self.map.get(&key(id)?, 0), Err(MapError::KeyNotFound)) {
                    self.map.insert(key(id)?, value, 0)?;
                    repaired.push(format!("{id} was deleted from the map `services`"));
                }
            }
        }
        Ok(())
    }

    /// Servers and what they count.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The same, to be changed.
    pub fn servers_mut(&mut self) -> &mut Servers {
        &mut self.servers
    }

    /// Bytes of memory, without the hash map.
    pub fn bytes(&self) -> u64 {
        self.rosters.bytes() + self.servers.bytes()
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
            new_services += u32::from(!self.values.contains_key(&service.id));
            for server in &service.servers {
                let (identity, _) = encode::roster_entry(service, server);
                new_servers += u32::from(!self.servers.has(&identity));
            }
        }
        let all = self.size();
        let servers = all.places - self.servers.free() + new_servers;
        let services = all.places - self.free.len() as u32 + new_services;
        let needed = Size {
            places: servers.max(services),
            lines: self.rosters.used() + lines,
        };
        let fits = needed.max(all) == all;
        Ok((!fits).then_some(needed))
    }

    /// Copies everything to a larger room, which no packet meets yet.
    pub fn copied_to(&self, mut room: Room) -> Result<Larger> {
        for (&id, value) in &self.values {
            room.services
                .insert(key(id)?, value, 0)
                .with_context(|| format!("cannot write {id} to the larger map"))?;
        }
        Ok(Larger {
            map: room.services,
            names: self.names.copied_to(room.names)?,
            rosters: self.rosters.copied_to(room.rosters)?,
            servers: self.servers.copied_to(
                room.servers,
                room.counters,
                room.retired,
                room.zeros,
            )?,
        })
    }

    /// Moves to a larger room, whose program handles all packets by now.
    pub fn move_to(&mut self, larger: Larger) {
        self.servers.carry_to(&larger.servers);
        let before = self.servers.capacity();
        self.servers.move_to(larger.servers);
        self.rosters = larger.rosters;
        self.map = larger.map;
        self.names = larger.names;
        self.walk = Walk::default();
        self.free.extend(before..self.servers.capacity());
    }

    /// Every service that packets find.
    pub fn ids(&self) -> Vec<ServiceId> {
        self.values.keys().copied().collect()
    }

    /// A service's row in the map `retired`.
    pub fn index(&self, id: ServiceId) -> Option<u32> {
        self.values.get(&id).map(|value| value.index)
    }

    /// What a service's servers counted, former ones too.
    pub fn counters(&self, id: ServiceId) -> Counters {
        let Some(value) = self.values.get(&id) else {
            return Counters::default();
        };
        let entries = self.rosters.read(value.roster, value.servers);
        let identities = entries
            .iter()
            .filter_map(|entry| self.servers.identity(entry.server));
        let indices = identities.flat_map(|identity| self.servers.entries_of(id, identity.server));
        let counted: Counters = indices.map(|index| self.servers.counters(index)).sum();
        self.servers.retired(value.index) + counted
    }

    /// Lets what these services and their servers count be shown from here on.
    pub fn zero(&mut self, ids: &[ServiceId]) {
        for &id in ids {
            let Some(value) = self.values.get(&id).copied() else {
                continue;
            };
            self.servers.zero_service(value.index, self.counters(id));
            for entry in self.rosters.read(value.roster, value.servers) {
                let Some(identity) = self.servers.identity(entry.server) else {
                    continue;
                };
                let indices: Vec<_> = self.servers.entries_of(id, identity.server).collect();
                for index in indices {
                    self.servers.zero(index);
                }
            }
        }
    }

    /// Estimates rates: see [`Servers::estimate`].
    pub fn estimate(&mut self) {
        self.servers
            .estimate(self.values.values().map(|value| value.index));
    }

    /// Makes a service what it should be. Packets see the old roster or the new one, whole;
    /// nothing is written where nothing changed.
    pub fn put(&mut self, service: &Service, next_hop: impl Fn(IpAddr) -> NextHop) -> Result<()> {
        let old = self.values.get(&service.id).copied();
        let index = match old {
            Some(value) => value.index,
            None => {
                let index = self
                    .free
                    .first()
                    .copied()
                    .ok_or_else(|| anyhow!("no room for {}: too many services", service.id))?;
                self.servers.clear_retired(index);
                index
            }
        };
        let mut entries = Vec::with_capacity(service.servers.len());
        for server in &service.servers {
            let (identity, weight) = encode::roster_entry(service, server);
            let next_hop = next_hop(identity.server.address);
            let server = self.servers.place(identity, index, &next_hop)?;
            entries.push(Entry { server, weight });
        }
        let before = old.map(|value| self.rosters.read(value.roster, value.servers));
        let wanted = Value {
            roster: old.map_or(0, |value| value.roster),
            index,
            ..encode::value(service)?
        };
        let name = service.options.name.as_ref().map(Name::as_str);
        self.names.set(service.id, name)?;
        if old != Some(wanted) || before.as_deref() != Some(&entries) {
            self.replace(service, wanted, &entries, old, before.as_deref())?;
        }
        let gone: Vec<ServerId> = before
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| Some(self.servers.identity(entry.server)?.server))
            .filter(|&id| service.servers.iter().all(|server| server.id != id))
            .collect();
        for server in gone {
            self.servers.retire(service.id, server);
        }
        Ok(())
    }

    fn replace(
        &mut self,
        service: &Service,
        wanted: Value,
        entries: &[Entry],
        old: Option<Value>,
        before: Option<&[Entry]>,
    ) -> Result<()> {
        let scheduler = encode::scheduler_number(&service.options.scheduler)?;
        let key = key(service.id)?;
        let position = match (old, before) {
            (Some(value), Some(before)) => {
                let position = match value.scheduler == wanted.scheduler {
                    true => self.rosters.position(value.roster),
                    false => Position::default(),
                };
                scheduler.position_after(before, position, entries)
            }
            _ => scheduler.position_of_new(entries),
        };
        let value = Value {
            roster: self.rosters.write(scheduler, entries, position)?,
            ..wanted
        };
        if let Err(error) = self.map.insert(key, value, 0) {
            self.rosters.give_up(value.roster);
            return Err(error).with_context(|| format!("cannot write {} to the map", service.id));
        }
        crash::after(Step::ServiceWritten);
        if let Some(old) = old {
            self.rosters.give_up(old.roster);
        }
        self.free.remove(&value.index);
        self.values.insert(service.id, value);
        Ok(())
    }

    /// Removes a service. Its connections stay in the table until they expire, and their
    /// packets are dropped, as in IPVS.
    pub fn remove(&mut self, id: ServiceId) -> Result<()> {
        let Some(value) = self.values.get(&id).copied() else {
            return Ok(());
        };
        remove(&mut self.map, id).with_context(|| format!("cannot remove {id} from the map"))?;
        crash::after(Step::ServiceRemoved);
        for entry in self.rosters.read(value.roster, value.servers) {
            if let Some(identity) = self.servers.identity(entry.server) {
                self.servers.retire(id, identity.server);
            }
        }
        self.rosters.give_up(value.roster);
        self.values.remove(&id);
        self.names.set(id, None)?;
        self.free.insert(value.index);
        Ok(())
    }

    /// All that there is to know of the services that packets find, in the order in which they
    /// came. An error names the first one that cannot be told.
    pub fn all(&self) -> Result<Vec<Service>> {
        let mut values: Vec<_> = self.values.iter().collect();
        values.sort_unstable_by_key(|(_, value)| value.index);
        let services = values.into_iter().map(|(&id, value)| {
            let service = self.told(id, value);
            service.with_context(|| format!("what the maps say of {id} makes no sense"))
        });
        services.collect()
    }

    fn told(&self, id: ServiceId, value: &Value) -> Option<Service> {
        let entries = self.rosters.read(value.roster, value.servers);
        let servers = entries.into_iter().map(|entry| {
            let identity = self.servers.identity(entry.server)?;
            (identity.service == id).then_some((identity, entry.weight))
        });
        let servers = servers.collect::<Option<Vec<_>>>()?;
        encode::service(id, value, self.names.get(id), servers)
    }
}

/// The maps of a larger room, which say the same.
pub struct Larger {
    map: BpfHashMap<MapData, ServiceKey, Value>,
    names: Names,
    rosters: Rosters,
    servers: servers::Larger,
}

/// Sees to it that a map has no entry for a service, also where somebody else has removed it.
pub(super) fn remove<V: Pod>(
    map: &mut BpfHashMap<MapData, ServiceKey, V>,
    service: ServiceId,
) -> Result<()> {
    match map.remove(&key(service)?) {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}
