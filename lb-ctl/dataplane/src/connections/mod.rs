//! The connection table as the daemon sees it: it reads the map in place, and has the kernel end
//! what has expired.
//!
//! The daemon never writes into the table. A daemon that is killed half-way would leave a slot
//! claimed, or a connection counted; the program `sweep` always runs to its end.
//!
//! - [`mod@memory`]: the map, read by the protocol that the packet path uses
//! - [`mod@sweep`]: how expired connections are ended
//! - [`recount`]: whether the servers' counts are what the table says
//! - [`pages`]: how the table is listed

mod memory;
pub mod pages;
pub mod recount;
pub mod sweep;

use lb_common::{
    layout::{
        Settings,
        key::Key,
        slot::{BUCKET_SLOTS, Bucket},
        word::Word,
    },
    state::{self, time::age},
    table::{entry, live},
};

use self::memory::Memory;
use crate::arrays::mapped::Mapped;

/// The map `connections`.
pub struct Connections {
    buckets: Mapped<Bucket>,
    /// Where the next sweep begins.
    next: u32,
}

/// A connection as the table stores it.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Client → VIP.
    pub key: Key,
    /// State, and when the last packet passed in either direction.
    pub word: Word,
    /// Index into the map `servers`.
    pub server: u32,
}

impl Connections {
    /// Of this map.
    pub fn new(buckets: Mapped<Bucket>) -> Self {
        Self { buckets, next: 0 }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.buckets.bytes()
    }

    /// Slots in all.
    pub fn slots(&self) -> u32 {
        self.buckets() * BUCKET_SLOTS
    }

    /// The map itself.
    #[cfg(test)]
    pub fn table(&self) -> &Mapped<Bucket> {
        &self.buckets
    }

    /// Buckets in all.
    pub fn buckets(&self) -> u32 {
        self.buckets.entries()
    }

    /// The connection in a slot, unless it has expired.
    pub fn live(&self, slot: u32, now: u32, settings: &Settings) -> Option<Stored> {
        let table = self.memory(settings);
        let entry = entry::read(table, slot)?;
        if !state::is_connection(entry.word.state()) {
            return None;
        }
        let stamp = live::last_packet(table, &entry);
        if age(now, stamp) > settings.timeouts.ticks(entry.word.state()) {
            return None;
        }
        Some(Stored {
            key: entry.constant,
            word: entry.word.with_stamp(stamp),
            server: entry.constant.server(),
        })
    }

    fn memory<'a>(&'a self, settings: &'a Settings) -> Memory<'a> {
        Memory {
            buckets: &self.buckets,
            settings,
        }
    }
}
