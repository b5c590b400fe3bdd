//! What the daemon has the kernel do with a part of the table: end what has expired, and count a
//! server's connections anew.
//!
//! The kernel runs it as a program, to its end. If the daemon did it and was killed in between,
//! a slot would stay claimed, or a connection counted.

use super::{end, entry, memory::SharedTable, recount};
use crate::{schedule::Search, state};

/// What to do: the first bytes of the frame that the daemon runs the program `sweep` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Order {
    /// The first slot.
    pub first: u32,
    /// How many slots.
    pub slots: u32,
    /// [`FORGET`], [`TALLY`] or 0.
    pub recount: u32,
}

/// Makes each connection one that is not tallied.
pub const FORGET: u32 = 1;
/// Tallies each connection of the recounted server.
pub const TALLY: u32 = 2;

/// A sweep, a slot at a time.
pub struct Sweep<T> {
    table: T,
    order: Order,
    now: u32,
    /// Connections ended.
    pub ended: u32,
}

impl<T: SharedTable> Sweep<T> {
    /// A sweep at the time `now`, in ticks.
    #[inline(always)]
    pub const fn new(table: T, order: Order, now: u32) -> Self {
        Self {
            table,
            order,
            now,
            ended: 0,
        }
    }

    /// Sweeps all slots of the order.
    #[inline(always)]
    pub fn run(&mut self) {
        self.table.repeat(self.order.slots, self);
    }
}

impl<T: SharedTable> Search for Sweep<T> {
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let Some(entry) = entry::read(self.table, self.order.first.wrapping_add(number)) else {
            return true;
        };
        if !state::is_connection(entry.word.state()) {
            return false;
        }
        if end::if_expired(self.table, &entry, self.now) {
            self.ended += 1;
        } else if self.order.recount == FORGET {
            recount::forget(self.table, &entry);
        } else if self.order.recount == TALLY {
            recount::tally(self.table, &entry);
        }
        false
    }
}
