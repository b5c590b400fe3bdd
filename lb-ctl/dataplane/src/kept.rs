//! Array maps that nobody but the daemon writes, kept together with what it wrote there.
//!
//! What the daemon wants to know, it reads from its own copy: what somebody else does to the
//! map misleads nobody but the packet path, until it is noticed and repaired.

use std::ops::Range;

use anyhow::Result;
use aya::Pod;

use super::mapped::Mapped;

/// The entries of an array map, and what they should be.
pub struct Kept<T> {
    map: Mapped<T>,
    copy: Mapped<T>,
}

impl<T: Pod + Default + PartialEq> Kept<T> {
    /// Takes what is in a map for what should be there.
    pub fn adopt(map: Mapped<T>) -> Result<Self> {
        let copy = Mapped::private(map.entries())?;
        let empty = T::default();
        for index in 0..map.entries() {
            // What is empty takes no memory in the copy.
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

    /// Writes what should be there to those of some entries that somebody else has changed, and
    /// gives their indices. What is not in use may be whatever it is.
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

    /// A map with room for more, with all that should be in this one.
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
