//! The search of lc, wlc and their kind: the server that has the least to do.

use super::roster::{Choice, Entry, LINE_ENTRIES, Roster, Search};
use crate::server::Load;

/// What a server has to do, and how much it can do. The least `load / capacity` wins, the first
/// of equals.
#[derive(Clone, Copy)]
pub(super) struct Burden {
    pub load: u64,
    pub capacity: u64,
}

/// IPVS's measure of load since 2026 ("ipvs: add totalconns for dest"): an active connection
/// counts as 257 inactive ones.
#[inline(always)]
pub(super) const fn overhead(load: Load) -> u64 {
    load.active as u64 * 257 + load.inactive as u64
}

/// The eligible server of least burden.
#[inline(always)]
pub(super) fn least<R, B>(roster: &R, burden: B) -> Option<u32>
where
    R: Roster,
    B: Fn(&Entry, Load) -> Burden,
{
    let mut least = Least {
        roster,
        burden,
        chosen: Choice::NONE,
        // More than that of any server.
        least: Burden {
            load: 1,
            capacity: 0,
        },
    };
    roster.search(roster.len().div_ceil(LINE_ENTRIES), &mut least);
    least.chosen.server()
}

/// A step looks at a line of eight servers, not at one: the whole roster has to be read, and a step
/// of `bpf_loop` costs more than looking at a server.
struct Least<'a, R, B> {
    roster: &'a R,
    burden: B,
    chosen: Choice,
    least: Burden,
}

impl<R, B> Search for Least<'_, R, B>
where
    R: Roster,
    B: Fn(&Entry, Load) -> Burden,
{
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let (mut chosen, mut least) = (self.chosen, self.least);
        self.roster.visit_line(number, |entry, load| {
            let mut this = (self.burden)(&entry, load);
            // A server without capacity never has the least burden. In wlc the capacity is the
            // weight, which is 0 then, so the compiler removes this branch.
            if !self.roster.eligible(&entry) {
                this.capacity = 0;
            }
            // this.load / this.capacity < least.load / least.capacity
            if least.load.wrapping_mul(this.capacity) > this.load.wrapping_mul(least.capacity) {
                // With this hint the compiler emits one branch, without it one for each value.
                core::hint::cold_path();
                (chosen, least) = (Choice::of(&entry), this);
            }
        });
        (self.chosen, self.least) = (chosen, least);
        false
    }
}
