//! The larger steps of the protocol, which a table may have called as functions of their own: the
//! verifier then follows each once, and not once for each caller.

use super::{
    claim,
    contest::{self, Contest},
    entry::{self, Entry},
    memory::SharedTable,
};

/// A table that says how they are called: inline, or as functions.
pub trait Steps: SharedTable {
    /// Calls [`entry::find`].
    #[inline(always)]
    fn find(self, key: &Self::Constant) -> Option<Entry<Self>> {
        entry::find(self, key)
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
