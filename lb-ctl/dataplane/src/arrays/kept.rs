//! Array maps that only the daemon writes, each with a copy of what the daemon wrote.
//!
//! The daemon reads its copy, never the map. So somebody else who changes the map misleads the
//! packet path, until the next audit, but not the daemon.

use std::ops::Range;

use anyhow::Result;
use aya::Pod;

use super::mapped::Mapped;

/// An array map, and a copy of what should be in it.
pub struct Kept<T> {
    map: Mapped<T>,
    copy: Mapped<T>,
}

impl<T: Pod + Default + PartialEq> Kept<T> {
    /// Copies what is in the map: that is what should be there.
    pub fn adopt(map: Mapped<T>) -> Result<Self> {
        let copy = Mapped::private(map.entries())?;
        let empty = T::default();
        for index in 0..map.entries() {
            // The copy is zero already; writing zeros would make the kernel provide the memory.
            if let Some(value) = map.read(index)
                && value != empty
            {
                copy.write(index, value);
            }
        }
        Ok(Self { map, copy })
    }

    /// Number of entries.
    pub fn entries(&self) -> u32 {
        self.map.entries()
    }

    /// Bytes of memory of the whole map.
    pub fn bytes(&self) -> u64 {
        self.map.bytes()
    }

    /// What an entry should be; `None` beyond the end.
    pub fn read(&self, index: u32) -> Option<T> {
        self.copy.read(index)
    }

    /// Overwrites an entry; nothing happens beyond the end.
    pub fn write(&self, index: u32, value: T) {
        self.copy.write(index, value);
        self.map.write(index, value);
    }

    /// Repairs those of some entries that somebody else has changed, and gives their indices.
    /// Entries that are not in use are left alone.
    pub fn repair(&self, entries: Range<u32>) -> Vec<u32> {
        if self.map.is_same(&self.copy, entries.clone()) {
            return Vec::new();
        }
        let end = entries.end.min(self.entries());
        let unused = Some(T::default());
        let changed: Vec<_> = (entries.start..end)
            .filter(|&index| self.copy.read(index) != unused)
            .filter(|&index| self.map.read(index) != self.copy.read(index))
            .collect();
        for &index in &changed {
            if let Some(value) = self.copy.read(index) {
                self.map.write(index, value);
            }
        }
        changed
    }

    /// The map itself.
    pub fn map(&self) -> &Mapped<T> {
        &self.map
    }

    /// A larger map with all that should be in this one.
    pub fn copied_to(&self, map: Mapped<T>) -> Result<Self> {
        let larger = Self {
            copy: Mapped::private(map.entries())?,
            map,
        };
        let empty = T::default();
        for index in 0..self.entries() {
            if let Some(value) = self.read(index)
                && value != empty
            {
                larger.write(index, value);
            }
        }
        Ok(larger)
    }
}
