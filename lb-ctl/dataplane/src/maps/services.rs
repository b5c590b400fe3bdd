//! The map `services`: by its key, a packet finds its service's scheduler and roster.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::AsFd as _,
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Pod,
    maps::{HashMap as BpfHashMap, IterableMap as _, MapData, MapError},
};
use lb_common::service::{Service as Value, ServiceKey};
use lb_model::ServiceId;

use crate::{
    audit::Part,
    crash::{self, Step},
    encode::{key, service_id},
    kernel::syscall,
};

/// A hash map of services, as the kernel has it.
pub type Map = BpfHashMap<MapData, ServiceKey, Value>;

/// The map, and what it should say. Each service has a place, which is its row wherever
/// services are counted.
pub struct Services {
    map: Map,
    values: HashMap<ServiceId, Value>,
    free: BTreeSet<u32>,
    walk: Walk,
}

/// A walk through the map, a part at a time.
#[derive(Default)]
struct Walk {
    cursor: Option<u32>,
    /// Entries that were as they should be, or are now.
    seen: usize,
}

/// More entries than any one bucket of a hash map has.
const LEAST_AT_ONCE: u32 = 256;

impl Services {
    /// Reads the map, which has room for so many services. An entry that `adopt` refuses, or that
    /// makes no sense, is nobody's: it is written anew when its service is put.
    pub fn new(map: Map, places: u32, mut adopt: impl FnMut(&Value) -> bool) -> Result<Self> {
        let mut values = HashMap::new();
        let mut free: BTreeSet<u32> = (0..places).collect();
        for item in map.iter() {
            let (key, value) = item.context("cannot read the map `services`")?;
            if let Some(id) = service_id(&key)
                && free.contains(&value.index)
                && adopt(&value)
            {
                free.remove(&value.index);
                values.insert(id, value);
            }
        }
        Ok(Self {
            map,
            values,
            free,
            walk: Walk::default(),
        })
    }

    /// Writes all services to a larger map, which no packet meets yet.
    pub fn copy_to(&self, larger: &mut Map) -> Result<()> {
        for (&id, value) in &self.values {
            larger
                .insert(key(id)?, value, 0)
                .with_context(|| format!("cannot write {id} to the larger map"))?;
        }
        Ok(())
    }

    /// Leaves the map for the larger one, which has room for so many more.
    pub fn move_to(&mut self, larger: Map, more: std::ops::Range<u32>) {
        self.map = larger;
        self.walk = Walk::default();
        self.free.extend(more);
    }

    /// What the map says of a service.
    pub fn get(&self, id: ServiceId) -> Option<Value> {
        self.values.get(&id).copied()
    }

    /// All services, in no order.
    pub fn all(&self) -> impl Iterator<Item = (ServiceId, &Value)> {
        self.values.iter().map(|(&id, value)| (id, value))
    }

    /// Free places.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// A place for a new service, which takes it when it is written.
    pub fn place(&self, id: ServiceId) -> Result<u32> {
        let first = self.free.first().copied();
        first.ok_or_else(|| anyhow!("no room for {id}: too many services"))
    }

    /// Writes a service.
    pub fn write(&mut self, id: ServiceId, value: Value) -> Result<()> {
        self.map
            .insert(key(id)?, value, 0)
            .with_context(|| format!("cannot write {id} to the map `services`"))?;
        crash::after(Step::ServiceWritten);
        self.free.remove(&value.index);
        self.values.insert(id, value);
        Ok(())
    }

    /// Removes a service from the map; packets do not find it any more.
    pub fn remove(&mut self, id: ServiceId) -> Result<()> {
        remove(&mut self.map, id)
            .with_context(|| format!("cannot remove {id} from the map `services`"))?;
        crash::after(Step::ServiceRemoved);
        if let Some(value) = self.values.remove(&id) {
            self.free.insert(value.index);
        }
        Ok(())
    }

    /// Repairs a part of the entries that somebody else may have changed; says what it was.
    pub fn repair(&mut self, part: Part) -> Result<Vec<String>> {
        let mut repaired = Vec::new();
        if part.is_first() || self.walk.cursor.is_some() {
            self.repair_next(&mut repaired)
                .context("cannot look through the map `services`")?;
        }
        Ok(repaired)
    }

    fn repair_next(&mut self, repaired: &mut Vec<String>) -> Result<()> {
        let at_once = LEAST_AT_ONCE + self.values.len() as u32 / (Part::ALL - 2);
        let mut entries = vec![(ServiceKey::default(), Value::default()); at_once as usize];
        let map = self.map.map().fd().as_fd();
        let count = syscall::read_hash(map, &mut self.walk.cursor, &mut entries)?;
        for (key, value) in entries.into_iter().take(count) {
            match service_id(&key).and_then(|id| Some((id, self.get(id)?))) {
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
        // Fewer were seen than there should be: some are missing, or there was an edit meanwhile.
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
}

/// Removes a service's entry from a map, unless somebody else has done so.
pub fn remove<V: Pod>(
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
