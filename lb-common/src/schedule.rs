//! IPVS's schedulers, pick for pick (`net/netfilter/ipvs/ip_vs_{rr,wrr,lc,wlc}.c`, Linux 6.12).
//!
//! All of them walk a roster in the order in which its servers are scheduled. IPVS keeps the
//! server that was added last at the head of that order; who builds a roster sees to that.

use crate::{
    server::Load,
    service::{Entry, LINE_ENTRIES},
};

/// What a scheduler reads.
pub trait Roster {
    /// Number of servers.
    fn len(&self) -> u32;

    /// True where there are no servers.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The server at a place in the order, counted from 0.
    fn entry(&self, place: u32) -> Option<Entry>;

    /// Looks at the [`LINE_ENTRIES`] servers from the place `number * LINE_ENTRIES` on, as far
    /// as there are that many; others that it may show have a weight of 0.
    fn visit_line(&self, number: u32, visit: impl FnMut(Entry, Load));

    /// Takes up to `times` steps of a search, until one says that it is over. The kernel has
    /// a loop of its own, whose body it verifies once.
    #[inline(always)]
    fn search<S: Search>(&self, times: u32, search: &mut S) {
        for number in 0..times {
            if search.step(number) {
                break;
            }
        }
    }
}

/// A search through a roster, a step at a time.
pub trait Search {
    /// Takes a step, the first with number 0; true where the search is over.
    fn step(&mut self, number: u32) -> bool;
}

/// Where rr or wrr stands: word 0 of a roster's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The place after the one that was chosen last; 0 before the first choice.
    /// It may be one past the end, which wraps when it is used.
    pub next: u32,
    /// wrr: servers of at least this weight are chosen in this pass.
    pub weight: u32,
}

impl Position {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.next as u64 | (self.weight as u64) << 32
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            next: bits as u32,
            weight: (bits >> 32) as u32,
        }
    }
}

/// What wrr needs to know of a roster's weights: word 1 of its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// The highest weight, less the step, plus one: the weight of the first pass. 0 where no
    /// server has a weight.
    pub top: u32,
    /// The greatest common divisor of the positive weights, 1 where there are none: how much
    /// a pass is below the one before.
    pub step: u32,
}

impl Weights {
    /// Of these weights.
    #[must_use]
    pub fn of(weights: impl Iterator<Item = u32>) -> Self {
        let (step, highest) = weights.fold((0, 0), |(step, highest), weight| {
            (gcd(step, weight), u32::max(highest, weight))
        });
        let step = u32::max(step, 1);
        Self {
            top: (highest + 1).saturating_sub(step) * u32::from(highest > 0),
            step,
        }
    }

    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.top as u64 | (self.step as u64) << 32
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            top: bits as u32,
            step: (bits >> 32) as u32,
        }
    }

    /// Where wrr goes on after the roster changed to one with these weights: at the head, in
    /// the pass that fits the old one best.
    #[must_use]
    pub const fn after_change(self, weight: u32) -> Position {
        let weight = if weight > self.top || weight == 0 {
            self.top
        } else if self.step > 1 {
            weight / self.step * self.step + 1
        } else {
            weight
        };
        Position { next: 0, weight }
    }
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Round robin: the server, and where to go on.
///
/// The same as weighted round robin in which every weight but 0 is 1.
#[inline(always)]
pub fn round_robin(roster: &impl Roster, position: Position) -> Option<(u32, Position)> {
    let even = Weights { top: 1, step: 1 };
    weighted_round_robin(
        roster,
        even,
        Position {
            weight: 1,
            ..position
        },
    )
}

/// Weighted round robin: the server, and where to go on.
#[inline(always)]
pub fn weighted_round_robin(
    roster: &impl Roster,
    weights: Weights,
    position: Position,
) -> Option<(u32, Position)> {
    if weights.top == 0 {
        return None;
    }
    let mut turn = Turn {
        roster,
        weights,
        position,
        chosen: NONE,
    };
    // The rest of this pass, then at most one whole pass: the heaviest server is in each.
    roster.search(2 * roster.len(), &mut turn);
    (turn.chosen != NONE).then_some((turn.chosen, turn.position))
}

/// No server.
const NONE: u32 = u32::MAX;

struct Turn<'a, R> {
    roster: &'a R,
    weights: Weights,
    position: Position,
    chosen: u32,
}

impl<R: Roster> Search for Turn<'_, R> {
    #[inline(always)]
    fn step(&mut self, _: u32) -> bool {
        if self.position.next >= self.roster.len() {
            // The end of this pass.
            self.position.next = 0;
            self.position.weight = match self.position.weight.checked_sub(self.weights.step) {
                None | Some(0) => self.weights.top,
                Some(lower) if lower > self.weights.top => self.weights.top,
                Some(lower) => lower,
            };
        }
        let Some(entry) = self.roster.entry(self.position.next) else {
            return true;
        };
        self.position.next += 1;
        if entry.weight < self.position.weight {
            return false;
        }
        self.chosen = entry.server;
        true
    }
}

/// IPVS's measure of a server's load: since 2026 ("ipvs: add totalconns for dest") an active
/// connection counts 257 times as much as an inactive one.
#[inline(always)]
#[must_use]
pub const fn overhead(load: Load) -> u64 {
    load.active as u64 * 257 + load.inactive as u64
}

/// Least connection: the least loaded server, the first of equals. Weights other than 0 do
/// not matter.
#[inline(always)]
pub fn least_connection(roster: &impl Roster) -> Option<u32> {
    least::<_, false>(roster)
}

/// Weighted least connection: the server with the least load for its weight, the first of
/// equals.
#[inline(always)]
pub fn weighted_least_connection(roster: &impl Roster) -> Option<u32> {
    least::<_, true>(roster)
}

#[inline(always)]
fn least<R: Roster, const WEIGHTED: bool>(roster: &R) -> Option<u32> {
    // More than any load for any weight.
    let mut least = Least::<R, WEIGHTED> {
        roster,
        chosen: NONE,
        overhead: 1,
        weight: 0,
    };
    roster.search(roster.len().div_ceil(LINE_ENTRIES), &mut least);
    (least.chosen != NONE).then_some(least.chosen)
}

/// A line at a time: all of a roster is to be read, and a step costs more than a server.
struct Least<'a, R, const WEIGHTED: bool> {
    roster: &'a R,
    chosen: u32,
    overhead: u64,
    weight: u64,
}

impl<R: Roster, const WEIGHTED: bool> Search for Least<'_, R, WEIGHTED> {
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let (mut chosen, mut least, mut least_weight) = (self.chosen, self.overhead, self.weight);
        self.roster.visit_line(number, |entry, load| {
            let overhead = overhead(load);
            // A weight of 0 makes the comparison below fail.
            let weight = match entry.weight {
                weight if WEIGHTED => weight as u64,
                0 => return,
                _ => 1,
            };
            if least.wrapping_mul(weight) > overhead.wrapping_mul(least_weight) {
                // One branch, rather than one for each value.
                core::hint::cold_path();
                (chosen, least, least_weight) = (entry.server, overhead, weight);
            }
        });
        (self.chosen, self.overhead, self.weight) = (chosen, least, least_weight);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    /// A service as IPVS keeps it: the server added last is the first in `order`.
    #[derive(Default)]
    struct Bench {
        /// Last byte of the address, weight.
        order: Vec<(u32, u32)>,
        loads: Vec<Load>,
        position: Position,
    }

    impl Roster for Bench {
        fn len(&self) -> u32 {
            self.order.len() as u32
        }
        fn entry(&self, place: u32) -> Option<Entry> {
            let &(server, weight) = self.order.get(place as usize)?;
            Some(Entry { server, weight })
        }
        fn visit_line(&self, number: u32, mut visit: impl FnMut(Entry, Load)) {
            for place in number * 8..number * 8 + 8 {
                match self.entry(place) {
                    Some(entry) => visit(entry, self.load(entry.server)),
                    // What stands behind the last one in a map.
                    None => visit(Entry::from_bits(0), Load::default()),
                }
            }
        }
    }

    impl Bench {
        fn load(&self, server: u32) -> Load {
            self.loads.get(server as usize).copied().unwrap_or_default()
        }

        /// Adds .11, .12, .13 … with these weights, one after the other.
        fn of(weights: &[u32]) -> Self {
            let mut bench = Self {
                loads: vec![Load::default(); 64],
                ..Self::default()
            };
            for (server, &weight) in (11..).zip(weights) {
                bench.order.insert(0, (server, weight));
                bench.changed();
            }
            bench
        }

        fn weights(&self) -> Weights {
            Weights::of(self.order.iter().map(|&(_, weight)| weight))
        }

        fn changed(&mut self) {
            self.position = self.weights().after_change(self.position.weight);
        }

        fn reweigh(&mut self, server: u32, weight: u32) {
            self.order.iter_mut().find(|s| s.0 == server).unwrap().1 = weight;
        }

        fn rr(&mut self) -> Option<u32> {
            let (server, position) = round_robin(self, self.position)?;
            self.position = position;
            Some(server)
        }

        fn wrr(&mut self) -> Option<u32> {
            let (server, position) = weighted_round_robin(self, self.weights(), self.position)?;
            self.position = position;
            Some(server)
        }

        fn opened(&mut self, server: Option<u32>) -> Option<u32> {
            self.loads[server? as usize].active += 1;
            server
        }

        fn lc(&mut self) -> Option<u32> {
            let server = least_connection(self);
            self.opened(server)
        }

        fn wlc(&mut self) -> Option<u32> {
            let server = weighted_least_connection(self);
            self.opened(server)
        }
    }

    fn picks(n: usize, mut pick: impl FnMut() -> Option<u32>) -> Vec<u32> {
        (0..n).map(|_| pick().unwrap_or(0)).collect()
    }

    // All expected sequences are captures from Linux 6.1 and 6.12 with the real ip_vs.

    #[test]
    fn rr_alternates_from_the_server_added_last() {
        let mut bench = Bench::of(&[1, 1, 1]);
        assert_eq!(
            picks(9, || bench.rr()),
            [13, 12, 11, 13, 12, 11, 13, 12, 11]
        );
        bench.reweigh(12, 0);
        assert_eq!(picks(4, || bench.rr()), [13, 11, 13, 11]);
        bench.reweigh(12, 1);
        assert_eq!(picks(6, || bench.rr()), [13, 12, 11, 13, 12, 11]);
    }

    #[test]
    fn wrr_starts_in_the_middle_of_its_sequence() {
        let mut bench = Bench::of(&[3, 2, 1]);
        let expected = [
            13, 12, 11, 11, 12, 11, 13, 12, 11, 11, 12, 11, 13, 12, 11, 11, 12, 11,
        ];
        assert_eq!(picks(18, || bench.wrr()), expected);
        let mut bench = Bench::of(&[5, 1, 1]);
        let expected = [
            13, 12, 11, 11, 11, 11, 11, 13, 12, 11, 11, 11, 11, 11, 13, 12, 11, 11, 11, 11, 11,
        ];
        assert_eq!(picks(21, || bench.wrr()), expected);
    }

    #[test]
    fn wrr_counts_in_steps_of_the_common_divisor() {
        let mut bench = Bench::of(&[20, 30]);
        let seen = picks(25, || bench.wrr());
        let count = |server| seen.iter().filter(|&&s| s == server).count();
        assert_eq!((count(11), count(12)), (10, 15));
    }

    #[test]
    fn lc_ignores_weights() {
        for weights in [[1, 1, 1], [5, 1, 1]] {
            let mut bench = Bench::of(&weights);
            assert_eq!(
                picks(9, || bench.lc()),
                [13, 12, 11, 13, 12, 11, 13, 12, 11]
            );
        }
    }

    #[test]
    fn wlc_respects_them() {
        let mut bench = Bench::of(&[1, 1, 1]);
        assert_eq!(
            picks(9, || bench.wlc()),
            [13, 12, 11, 13, 12, 11, 13, 12, 11]
        );
        let mut bench = Bench::of(&[3, 1, 1]);
        let expected = [13, 12, 11, 11, 11, 13, 12, 11, 11, 11, 13, 12, 11, 11, 11];
        assert_eq!(picks(15, || bench.wlc()), expected);
    }

    #[test]
    fn an_active_connection_weighs_257_inactive_ones() {
        let mut bench = Bench::of(&[1, 1]);
        bench.loads[11].active = 1;
        bench.loads[12].inactive = 257;
        assert_eq!(
            weighted_least_connection(&bench),
            Some(12),
            "the first of equals"
        );
        bench.loads[12].inactive = 258;
        assert_eq!(weighted_least_connection(&bench), Some(11));
    }

    #[test]
    fn many_connections_do_not_look_like_few() {
        let mut bench = Bench::of(&[1, 1]);
        // Times 257, this is 2^32 + 256.
        bench.loads[12].active = 16_711_936;
        bench.loads[11].active = 1;
        assert_eq!(weighted_least_connection(&bench), Some(11));
        assert_eq!(least_connection(&bench), Some(11));
    }

    #[test]
    fn no_scheduler_chooses_a_server_of_weight_0_or_among_none() {
        for weights in [&[0, 0][..], &[]] {
            let mut bench = Bench::of(weights);
            assert_eq!(bench.rr(), None);
            assert_eq!(bench.wrr(), None);
            assert_eq!(bench.lc(), None);
            assert_eq!(bench.wlc(), None);
        }
    }

    #[test]
    fn a_position_behind_a_roster_that_shrank_wraps() {
        let mut bench = Bench::of(&[1]);
        bench.position = Position { next: 7, weight: 1 };
        assert_eq!(bench.rr(), Some(11));
        bench.position = Position { next: 7, weight: 9 };
        assert_eq!(bench.wrr(), Some(11));
    }
}
