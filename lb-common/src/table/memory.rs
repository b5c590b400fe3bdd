//! What the protocol needs of the memory that the table is in, and of the entries' shape.

use super::places::Spot;
use crate::{
    layout::{key::Key, slot::BUCKET_SLOTS, wide::WideEntry},
    schedule::Search,
};

/// What of an entry does not change while it is live: the key, and what is stored with it.
pub trait Constant: Copy {
    /// 0 for keys of the same packets, whatever servers they name.
    fn difference(&self, other: &Self) -> u64;
    /// True for keys of the same packets.
    #[inline(always)]
    fn same(&self, other: &Self) -> bool {
        self.difference(other) == 0
    }
    /// Index of the server.
    fn server(&self) -> u32;
    /// True if `reverse` is the reverse entry of the connection with this key.
    fn is_answered_by(&self, reverse: &Self) -> bool;
}

/// A table that can be read.
pub trait Table: Copy {
    /// What a slot stores beside word and route.
    type Constant: Constant;
    /// A bucket.
    type Bucket: Copy;
    /// A slot.
    type Slot: Copy;

    /// Slots in a bucket.
    const SLOTS: u32 = BUCKET_SLOTS;

    /// Where this key may be stored.
    fn spot(self, key: &Self::Constant) -> Spot;
    /// The bucket with this number; `None` beyond the end of the table.
    fn bucket(self, number: u32) -> Option<Self::Bucket>;
    /// A slot of a bucket, from 0 to [`Table::SLOTS`] - 1.
    fn slot(self, bucket: Self::Bucket, place: u32) -> Self::Slot;
    /// Loads the word.
    fn word(self, slot: Self::Slot) -> u64;
    /// Loads the key. This must not be moved before an earlier load of the word.
    fn constant(self, slot: Self::Slot) -> Self::Constant;
    /// Loads the route.
    fn route(self, slot: Self::Slot) -> u64;
    /// How long a connection may stay in a state without a packet, in ticks.
    fn timeout(self, state: u8) -> u32;

    /// The slot with this index; `None` beyond the end of the table.
    #[inline(always)]
    fn at(self, index: u32) -> Option<Self::Slot> {
        Some(self.slot(self.bucket(index / Self::SLOTS)?, index % Self::SLOTS))
    }
}

/// A table that can also be changed. Each change of a word is a full memory barrier.
pub trait SharedTable: Table {
    /// Replaces the word if it still is `old`.
    fn replace(self, slot: Self::Slot, old: u64, new: u64) -> bool;
    /// Replaces the word of a slot that the caller owns.
    fn store(self, slot: Self::Slot, word: u64);
    /// Writes key and route of a slot that the caller owns.
    fn write(self, slot: Self::Slot, constant: &Self::Constant, route: u64);
    /// Replaces the route if it still is `old`.
    fn replace_route(self, slot: Self::Slot, old: u64, new: u64) -> bool;
    /// Adds to a server's [`Load`](crate::server::Load).
    fn count(self, server: u32, change: u64);
    /// The server whose connections are being counted anew: see [`recount`](super::recount).
    fn recounted(self) -> Option<u32>;
    /// Adds to the new count.
    fn tally(self, change: u64);
    /// A full memory barrier.
    fn fence(self);

    /// Takes up to `times` steps of a search, until one says that it is over.
    #[inline(always)]
    fn repeat<S: Search>(self, times: u32, search: &mut S) {
        for number in 0..times {
            if search.step(number) {
                break;
            }
        }
    }

    /// The same number, hidden from the optimiser, which could otherwise turn arithmetic into a
    /// branch; a verifier would check what follows it twice.
    #[inline(always)]
    fn opaque(self, number: u64) -> u64 {
        number
    }
}

impl Constant for Key {
    #[inline(always)]
    fn difference(&self, other: &Self) -> u64 {
        Self::difference(self, other)
    }

    #[inline(always)]
    fn same(&self, other: &Self) -> bool {
        Self::same(self, other)
    }

    #[inline(always)]
    fn server(&self) -> u32 {
        Self::server(self)
    }

    #[inline(always)]
    fn is_answered_by(&self, reverse: &Self) -> bool {
        Self::is_answered_by(self, reverse)
    }
}

impl Constant for WideEntry {
    #[inline(always)]
    fn difference(&self, other: &Self) -> u64 {
        self.key.difference(&other.key)
    }

    #[inline(always)]
    fn server(&self) -> u32 {
        self.key.server()
    }

    #[inline(always)]
    fn is_answered_by(&self, reverse: &Self) -> bool {
        self.key.is_answered_by(&reverse.key)
    }
}
