//! The larger steps of the protocol, which a table may have called as functions of their own: the
//! verifier then follows each once, and not once for each caller.

use super::{
    claim,
    contest::{self, Contest},
    entry::{self, Entry},
    live,
    memory::SharedTable,
};

/// A table that says how they are called: inline, or as functions.
pub trait Steps: SharedTable {
    /// Calls [`entry::find`].
    #[inline(always)]
    fn find(self, key: &Self::Constant) -> Option<Entry<Self>> {
        entry::find(self, key)
    }

    /// The connection that a reverse entry was made for, if it is in the table: only the server
    /// tells its key.
    fn answered_by(self, reverse: &Entry<Self>) -> Option<Entry<Self>>;

    /// Calls [`live::is_in_use`].
    #[inline(always)]
    fn is_in_use(self, reverse: &Entry<Self>, new: &Self::Constant, now: u32) -> bool {
        match self.answered_by(reverse) {
            Some(owner) => live::is_in_use(self, reverse, &owner, new, now),
            None => false,
        }
    }

    /// Calls [`claim::claim`].
    #[inline(always)]
    fn claim(self, key: &Self::Constant, now: u32) -> u32 {
        claim::claim(self, key, now)
    }

    /// Calls [`contest::contest`].
    #[inline(always)]
    fn contest(self, own: u32, alone: u64) -> Contest {
        contest::contest(self, own, alone)
    }
}
