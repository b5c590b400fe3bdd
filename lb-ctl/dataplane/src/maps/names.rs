//! The map `names`: services' names, so that they outlive the daemon. The program does not read
//! it.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap as BpfHashMap, MapData};
use lb_common::service::{Name, ServiceKey};

use lb_model::ServiceId;

use super::services::remove;
use crate::{
    crash::{self, Step},
    encode,
};

/// The map, and the names in it.
pub struct Names {
    map: BpfHashMap<MapData, ServiceKey, Name>,
    known: HashMap<ServiceId, String>,
}

impl Names {
    /// Reads what is there.
    pub fn new(map: BpfHashMap<MapData, ServiceKey, Name>) -> Result<Self> {
        let mut known = HashMap::new();
        for item in map.iter() {
            let (key, name) = item.context("cannot read the map `names`")?;
            // Entries that somebody else wrote may make no sense.
            if let (Some(id), Some(name)) = (encode::service_id(&key), encode::text(&name)) {
                known.insert(id, name);
            }
        }
        Ok(Self { map, known })
    }

    /// A service's name.
    pub fn get(&self, service: ServiceId) -> Option<&str> {
        self.known.get(&service).map(String::as_str)
    }

    /// Gives a service a name, or takes it away.
    pub fn set(&mut self, service: ServiceId, name: Option<&str>) -> Result<()> {
        if self.get(service) == name {
            return Ok(());
        }
        let outcome = match name {
            Some(name) => {
                let key = encode::key(service)?;
                self.map
                    .insert(key, encode::name(name), 0)
                    .map_err(Into::into)
            }
            None => remove(&mut self.map, service),
        };
        outcome
            .with_context(|| format!("cannot write the name of {service} to the map `names`"))?;
        match name {
            Some(name) => self.known.insert(service, name.to_owned()),
            None => self.known.remove(&service),
        };
        crash::after(Step::NameWritten);
        Ok(())
    }

    /// Removes the names of services that are not there: a daemon crashed before it wrote the
    /// service, or after it removed it.
    pub fn keep(&mut self, there: impl Fn(ServiceId) -> bool) -> Result<()> {
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|&&id| !there(id))
            .copied()
            .collect();
        gone.into_iter().try_for_each(|id| self.set(id, None))
    }

    /// Copies all names to the map of a larger room.
    pub fn copied_to(&self, mut map: BpfHashMap<MapData, ServiceKey, Name>) -> Result<Self> {
        for (&service, name) in &self.known {
            map.insert(encode::key(service)?, encode::name(name), 0)
                .with_context(|| format!("cannot write the name of {service} to a larger map"))?;
        }
        let known = self.known.clone();
        Ok(Self { map, known })
    }
}
