//! Entries as they were read: looking them up, and claiming their slots.

use super::memory::{Constant, SharedTable, Table};
use crate::{layout::word::Word, state};

/// An entry as it was read. Its slot may change meanwhile; the word tells.
#[derive(Clone, Copy)]
pub struct Entry<T: Table> {
    /// Where it is.
    pub slot: T::Slot,
    /// The same as a number, as entries refer to one another.
    pub index: u32,
    /// State, generation and time.
    pub word: Word,
    /// Its key, loaded after the word: while the word's generation is the same, it is the key of
    /// this entry.
    pub constant: T::Constant,
}

/// Reads whatever is in a slot.
#[inline(always)]
pub fn read<T: Table>(table: T, index: u32) -> Option<Entry<T>> {
    let slot = table.at(index)?;
    let word = Word::from_bits(table.word(slot));
    Some(Entry {
        slot,
        index,
        word,
        constant: table.constant(slot),
    })
}

/// The live entry with this key, in any slot of its two buckets.
#[inline(always)]
pub fn find<T: Table>(table: T, key: &T::Constant) -> Option<Entry<T>> {
    let spot = table.spot(key);
    for number in 0..2 {
        let number = spot.bucket(number);
        let Some(bucket) = table.bucket(number) else {
            continue;
        };
        for place in 0..T::SLOTS {
            // First the key alone, which rules out most slots. `look` then loads the word before
            // the key: only in this order they are known to belong together.
            if table.constant(table.slot(bucket, place)).same(key)
                && let Some(entry) = look(table, number, place, key)
            {
                return Some(entry);
            }
        }
    }
    None
}

/// The entry in a slot of a bucket, if it is live and has this key.
#[inline(always)]
pub fn look<T: Table>(table: T, bucket: u32, place: u32, key: &T::Constant) -> Option<Entry<T>> {
    let slot = table.slot(table.bucket(bucket)?, place);
    let word = Word::from_bits(table.word(slot));
    if !state::is_live(word.state()) {
        return None;
    }
    let constant = table.constant(slot);
    constant.same(key).then_some(Entry {
        slot,
        index: bucket * T::SLOTS + place,
        word,
        constant,
    })
}

/// Claims the slot of an entry if it still is as it was read.
#[inline(always)]
pub(super) fn claim<T: SharedTable>(table: T, entry: &Entry<T>) -> bool {
    table.replace(entry.slot, entry.word.bits(), entry.word.claimed().bits())
}
