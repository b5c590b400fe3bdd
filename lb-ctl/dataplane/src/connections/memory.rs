//! The map `connections` as a table of `lb_common::table`, to be read.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lb_common::{
    layout::{Settings, key::Key, slot::Bucket},
    table::{memory::Table, places::Spot},
};

use crate::arrays::mapped::Mapped;

/// The map, and the settings with which its entries are found.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    pub buckets: &'a Mapped<Bucket>,
    pub settings: &'a Settings,
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
