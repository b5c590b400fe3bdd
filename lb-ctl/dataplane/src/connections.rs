//! The connection table as the daemon sees it: it reads the map in place, and has the kernel end
//! what has expired.
//!
//! The daemon never writes into the table. A daemon that is killed half-way would leave a slot
//! claimed, or a connection counted; the program `sweep` always runs to its end.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use anyhow::{Context as _, Result};
use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use lb_common::{
    layout::{
        Settings,
        key::Key,
        slot::{BUCKET_SLOTS, Bucket},
        word::Word,
    },
    state::{self, time::age},
    table::{entry, live, memory::Table, places::Spot, sweep::Order},
};

use super::{clock, mapped::Mapped, recount::Recount};
use crate::crash::{self, Step};

/// The map `connections`.
pub struct Connections {
    buckets: Mapped<Bucket>,
    /// Where the next sweep begins.
    next: u32,
}

/// A connection, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Client → VIP.
    pub key: Key,
    /// State, and when the last packet passed in either direction.
    pub word: Word,
    /// Index into the map `servers`.
    pub server: u32,
}

/// How many buckets one run of the program sweeps. Its CPU handles no packets meanwhile: some
/// ten microseconds.
const AT_ONCE: u32 = 256;

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

    /// The table.
    #[cfg(test)]
    pub fn table(&self) -> &Mapped<Bucket> {
        &self.buckets
    }

    /// Buckets in all.
    pub fn buckets(&self) -> u32 {
        self.buckets.entries()
    }

    /// The connection in a slot, unless it has expired.
    pub fn live(&self, slot: u32, now: u32, settings: &Settings) -> Option<Connection> {
        let table = self.memory(settings);
        let entry = entry::read(table, slot)?;
        if !state::is_connection(entry.word.state()) {
            return None;
        }
        let stamp = live::last_packet(table, &entry);
        if age(now, stamp) > settings.timeouts.ticks(entry.word.state()) {
            return None;
        }
        Some(Connection {
            key: entry.constant,
            word: entry.word.with_stamp(stamp),
            server: entry.constant.server(),
        })
    }

    /// Has the expired connections of the next `buckets` buckets ended, and the others counted by
    /// server. Gives the number of ended ones, and true where the end of the table was reached.
    pub fn sweep(
        &mut self,
        buckets: u32,
        settings: &Settings,
        program: &Xdp,
        recount: &mut Recount,
    ) -> Result<(u32, bool)> {
        let end = self.next.saturating_add(buckets).min(self.buckets());
        let mut ended = 0;
        while self.next < end {
            let first = self.next * BUCKET_SLOTS;
            self.next = self.next.saturating_add(AT_ONCE).min(end);
            let order = Order {
                first,
                slots: self.next * BUCKET_SLOTS - first,
                recount: recount.order(),
            };
            let expired = self.count(&order, settings, recount);
            if expired || order.recount != 0 {
                ended += run(program, &order)?;
                crash::after(Step::ConnectionsSwept);
            }
        }
        let whole = self.next == self.buckets();
        if whole {
            self.next = 0;
        }
        Ok((ended, whole))
    }

    /// Counts the connections in a part of the table. True where some have expired.
    fn count(&self, part: &Order, settings: &Settings, recount: &mut Recount) -> bool {
        let table = self.memory(settings);
        let now = clock::now(settings);
        let mut expired = false;
        for entry in (part.first..part.first + part.slots)
            .filter_map(|slot| entry::read(table, slot))
            .filter(|entry| state::is_connection(entry.word.state()))
        {
            if live::is_alive(table, &entry, now) {
                let active = state::is_active(entry.word.state());
                recount.see(entry.constant.server(), active);
            } else {
                expired = true;
            }
        }
        expired
    }

    fn memory<'a>(&'a self, settings: &'a Settings) -> Memory<'a> {
        Memory {
            buckets: &self.buckets,
            settings,
        }
    }
}

/// Runs the program `sweep` on an order; gives the number of connections that it ended.
pub fn run(program: &Xdp, order: &Order) -> Result<u32> {
    // As many bytes as the shortest Ethernet frame.
    let mut frame = [0; 64];
    let words = [order.first, order.slots, order.recount];
    for (bytes, word) in frame.chunks_exact_mut(size_of::<u32>()).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        })
        .context("cannot run the program `sweep`, which ends expired connections")?;
    Ok(result.return_value)
}

/// The table's memory, to be read.
#[derive(Clone, Copy)]
struct Memory<'a> {
    buckets: &'a Mapped<Bucket>,
    settings: &'a Settings,
}

// The 64-bit words of a slot.
const WORDS: usize = 4;
const ADDRESSES: usize = 0;
const PORTS: usize = 1;
const WORD: usize = 2;
const ROUTE: usize = 3;

impl<'a> Memory<'a> {
    fn load(self, (bucket, place): (u32, u32), word: usize) -> u64 {
        let word = self.buckets.word(bucket, place as usize * WORDS + word);
        word.map_or(0, |word: &AtomicU64| word.load(SeqCst))
    }
}

impl Table for Memory<'_> {
    type Constant = Key;
    type Bucket = u32;
    type Slot = (u32, u32);

    fn spot(self, key: &Key) -> Spot {
        self.settings.hash.places(&key.of_server(0)).spot()
    }

    fn bucket(self, number: u32) -> Option<u32> {
        (number < self.buckets.entries()).then_some(number)
    }

    fn slot(self, bucket: u32, place: u32) -> (u32, u32) {
        (bucket, place)
    }

    fn word(self, slot: (u32, u32)) -> u64 {
        self.load(slot, WORD)
    }

    fn constant(self, slot: (u32, u32)) -> Key {
        Key {
            addresses: self.load(slot, ADDRESSES),
            ports: self.load(slot, PORTS),
        }
    }

    fn route(self, slot: (u32, u32)) -> u64 {
        self.load(slot, ROUTE)
    }

    fn timeout(self, state: u8) -> u32 {
        self.settings.timeouts.ticks(state)
    }
}
