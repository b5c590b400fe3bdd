//! Counting a server's connections anew while packets pass.
//!
//! The protocol keeps counts exact. This is for what comes from outside: somebody has written
//! into the map. One server at a time is counted anew, into a second count, the *tally*.
//!
//! 1. [`forget`] takes [`FLAG_TALLIED`] off all connections; the tally is set to 0.
//! 2. The server is named (`SharedTable::recounted`): connections to it that are opened from now
//!    on have the flag, and are tallied.
//! 3. [`tally`] sets the flag of each older connection, and adds it to the tally.
//!
//! Whoever changes a connection that has the flag changes the tally as well. The flag is part of
//! the word, so a compare-and-swap decides whether a change comes before the tally or after it:
//! the tally counts the connection in its new state, or is changed along with it. After one pass
//! through the table the tally is exact, and it stays so. The server's count is wrong by what it
//! differs from the tally.

use super::{
    TRIES,
    entry::Entry,
    memory::{Constant, SharedTable},
};
use crate::{
    layout::word::{FLAG_TALLIED, Word},
    server::Load,
    state,
};

/// Changes a server's count, and the tally where the connection is part of it.
#[inline(always)]
pub(super) fn count<T: SharedTable>(table: T, server: u32, change: u64, flags: u8) {
    table.count(server, change);
    if flags & FLAG_TALLIED != 0 {
        table.tally(change);
    }
}

/// The flag of a new connection to this server.
#[inline(always)]
pub(super) fn flag_of_new<T: SharedTable>(table: T, server: u32) -> u8 {
    if table.recounted() == Some(server) {
        FLAG_TALLIED
    } else {
        0
    }
}

/// Tallies a connection, if it is the recounted server's and not tallied yet.
#[inline(always)]
pub fn tally<T: SharedTable>(table: T, entry: &Entry<T>) {
    if table.recounted() != Some(entry.constant.server()) {
        return;
    }
    let tallied = change(table, entry, |flags| flags | FLAG_TALLIED);
    if let Some(word) = tallied {
        table.tally(Load::one(state::is_active(word.state())));
    }
}

/// Makes a connection one that is not tallied.
#[inline(always)]
pub fn forget<T: SharedTable>(table: T, entry: &Entry<T>) {
    change(table, entry, |flags| flags & !FLAG_TALLIED);
}

/// Changes the flags of a connection. Gives the word before; nothing if they were so already
/// or the connection is gone.
#[inline(always)]
fn change<T: SharedTable>(table: T, entry: &Entry<T>, change: impl Fn(u8) -> u8) -> Option<Word> {
    let mut old = entry.word;
    for _ in 0..TRIES {
        let same_entry =
            state::is_connection(old.state()) && old.generation() == entry.word.generation();
        let new = old.with_flags(change(old.flags()));
        if !same_entry || new == old {
            return None;
        }
        if table.replace(entry.slot, old.bits(), new.bits()) {
            return Some(old);
        }
        old = Word::from_bits(table.word(entry.slot));
    }
    None
}
