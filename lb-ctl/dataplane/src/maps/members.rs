//! Hash maps whose keys alone count: sets, as the packet path has them.

use std::{collections::HashSet, hash::Hash, os::fd::AsFd as _};

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{HashMap as BpfHashMap, IterableMap as _, Map, MapData, MapError},
};

use crate::kernel::syscall;

/// A set in the kernel, and what should be in it.
pub struct Members<K> {
    name: &'static str,
    map: BpfHashMap<MapData, K, u8>,
    wanted: HashSet<K>,
}

impl<K: Pod + Eq + Hash + Default> Members<K> {
    /// Reads what is there: that is what should be.
    pub fn adopt(name: &'static str, map: Map) -> Result<Self> {
        let map = BpfHashMap::try_from(map).with_context(|| format!("the map `{name}`"))?;
        let mut this = Self {
            name,
            map,
            wanted: HashSet::new(),
        };
        this.wanted = this.read()?.into_iter().collect();
        Ok(this)
    }

    /// Those that should be there.
    pub fn all(&self) -> impl Iterator<Item = K> {
        self.wanted.iter().copied()
    }

    /// Adds one.
    pub fn insert(&mut self, key: K) -> Result<()> {
        if self.wanted.contains(&key) {
            return Ok(());
        }
        let outcome = self.map.insert(key, 0, 0);
        outcome.with_context(|| format!("cannot write to the map `{}`", self.name))?;
        self.wanted.insert(key);
        Ok(())
    }

    /// Takes one away.
    pub fn remove(&mut self, key: &K) -> Result<()> {
        if self.wanted.remove(key) {
            self.take_away(key)?;
        }
        Ok(())
    }

    /// Undoes what somebody else has changed; says so.
    pub fn repair(&mut self) -> Result<Option<String>> {
        let there: HashSet<K> = self.read()?.into_iter().collect();
        if there == self.wanted {
            return Ok(None);
        }
        let surplus: Vec<K> = there.difference(&self.wanted).copied().collect();
        surplus.iter().try_for_each(|key| self.take_away(key))?;
        for key in self.wanted.difference(&there) {
            self.map.insert(key, 0, 0)?;
        }
        Ok(Some(format!("the map `{}` was changed", self.name)))
    }

    fn take_away(&mut self, key: &K) -> Result<()> {
        match self.map.remove(key) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot remove from the map `{}`", self.name))
            }
        }
    }

    fn read(&self) -> Result<Vec<K>> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let mut page = vec![(K::default(), 0u8); AT_ONCE];
            let map = self.map.map().fd().as_fd();
            let count = syscall::read_hash(map, &mut cursor, &mut page)
                .with_context(|| format!("cannot read the map `{}`", self.name))?;
            keys.extend(page.into_iter().take(count).map(|(key, _)| key));
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}

/// More entries than any one bucket of a hash map has.
const AT_ONCE: usize = 1024;
