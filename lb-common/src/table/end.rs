//! Ending a connection: its slot is claimed, its server forgets it, its reverse entry is freed.

use super::{
    TRIES,
    entry::{self, Entry},
    live,
    memory::{Constant, SharedTable},
    recount,
};
use crate::{
    layout::word::{FLAG_NAT, Word},
    server::Load,
    state,
};

/// Ends a connection if it still is as it was read: no packet has passed since, either. True
/// where it did; the caller owns the slot then.
#[inline(always)]
pub fn end<T: SharedTable>(table: T, entry: &Entry<T>) -> bool {
    let Entry { word, constant, .. } = *entry;
    if !state::is_connection(word.state()) || !entry::claim(table, entry) {
        return false;
    }
    let one = Load::one(state::is_active(word.state()));
    recount::count(table, constant.server(), one.wrapping_neg(), word.flags());
    if word.flags() & FLAG_NAT != 0 {
        free_reverse(table, entry);
    }
    true
}

/// Frees the reverse entry of a connection whose slot the caller owns, unless a newer connection
/// has taken that over.
#[inline(always)]
fn free_reverse<T: SharedTable>(table: T, connection: &Entry<T>) {
    for _ in 0..TRIES {
        // Read again each time: only the entry whose key was read may be freed.
        let Some(reverse) = live::reverse_of(table, connection) else {
            return;
        };
        let freed = reverse.word.freed().bits();
        if table.replace(reverse.slot, reverse.word.bits(), freed) {
            return;
        }
    }
}

/// Empties a slot that the caller owns.
#[inline(always)]
pub fn free<T: SharedTable>(table: T, index: u32) {
    if let Some(slot) = table.at(index) {
        let word = Word::from_bits(table.word(slot));
        table.store(slot, word.freed().bits());
    }
}

/// Ends a connection and empties its slot, if it has expired. True if it did.
#[inline(always)]
pub fn if_expired<T: SharedTable>(table: T, entry: &Entry<T>, now: u32) -> bool {
    if live::is_alive(table, entry, now) || !end(table, entry) {
        return false;
    }
    free(table, entry.index);
    true
}
