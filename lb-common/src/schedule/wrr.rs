//! Weighted round robin (`ip_vs_wrr.c`): passes over the roster, each with a lower bar. In a
//! pass, servers whose weight reaches the bar take turns.

use super::roster::{Choice, Entry, Position, Roster, Search, halves, pair};

/// What a scheduler needs to know of all weights: wrr's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weights {
    /// The bar of the first pass: the highest weight, less the step, plus one. 0 if all weights
    /// are 0.
    top: u32,
    /// How much the bar falls from pass to pass: the greatest common divisor of all positive
    /// weights, or 1 if there are none.
    step: u32,
}

impl Weights {
    fn of(roster: &[Entry]) -> Self {
        let weights = roster.iter().map(|entry| entry.weight);
        let (step, highest) = weights.fold((0, 0), |(step, highest), weight| {
            (gcd(step, weight), u32::max(highest, weight))
        });
        let step = u32::max(step, 1);
        Self {
            top: match highest {
                0 => 0,
                _ => highest - step + 1,
            },
            step,
        }
    }

    /// Back to the head, in the pass whose bar is nearest to the old one: what IPVS does when
    /// a roster changes.
    const fn restart(self, bar: u32) -> Position {
        let bar = if bar > self.top || bar == 0 {
            self.top
        } else if self.step > 1 {
            bar / self.step * self.step + 1
        } else {
            bar
        };
        Position {
            next: 0,
            weight: bar,
        }
    }

    /// The bar after this one.
    #[inline(always)]
    const fn below(self, bar: u32) -> u32 {
        match bar.checked_sub(self.step) {
            None | Some(0) => self.top,
            Some(lower) if lower > self.top => self.top,
            Some(lower) => lower,
        }
    }
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The weights of a roster, as its header holds them.
pub(super) fn digest(roster: &[Entry]) -> u64 {
    let Weights { top, step } = Weights::of(roster);
    pair(top, step)
}

/// The next eligible server whose weight reaches the bar.
#[inline(always)]
pub(super) fn choose(roster: &impl Roster) -> Option<u32> {
    roster.turn(|position, digest| {
        let (top, step) = halves(digest);
        if top == 0 {
            return None;
        }
        let weights = Weights { top, step };
        let second = weights.below(position.weight);
        let mut turn = Turn {
            roster,
            start: position.next.min(roster.len()),
            bars: [position.weight, second, weights.below(second)],
            position,
            chosen: Choice::NONE,
        };
        // The rest of this pass, then one whole pass at most: the heaviest server reaches
        // every bar.
        roster.search(2 * roster.len(), &mut turn);
        Some((turn.chosen.server()?, turn.position))
    })
}

struct Turn<'a, R> {
    roster: &'a R,
    /// At most the number of servers.
    start: u32,
    /// The bars of this pass and the next two.
    bars: [u32; 3],
    /// After the choice.
    position: Position,
    chosen: Choice,
}

impl<R: Roster> Search for Turn<'_, R> {
    /// The place follows from the step's number, for the verifier's sake: see rr.
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let [mut bar, second, third] = self.bars;
        let mut place = self.start + number;
        for next_bar in [second, third] {
            if place >= self.roster.len() {
                place -= self.roster.len();
                bar = next_bar;
            }
        }
        let Some(entry) = self.roster.entry(place) else {
            return true;
        };
        if !self.roster.eligible(&entry) || entry.weight < bar {
            return false;
        }
        self.position = Position {
            next: place + 1,
            weight: bar,
        };
        self.chosen = Choice::of(&entry);
        true
    }
}

/// A new service has been built by adding its servers one by one, the last one of the roster
/// first; each addition was a change of the roster.
pub(super) fn position_of_new(roster: &[Entry]) -> Position {
    let mut position = Position::default();
    for first in (0..roster.len()).rev() {
        let (_, added) = roster.split_at(first);
        position = position_after(position, added);
    }
    position
}

/// Begins at the head, in the pass that fits best.
pub(super) fn position_after(position: Position, new: &[Entry]) -> Position {
    Weights::of(new).restart(position.weight)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Scheduler::Wrr, bench::Bench},
        *,
    };

    #[test]
    fn starts_in_the_middle_of_its_sequence() {
        let expected = [
            13, 12, 11, 11, 12, 11, 13, 12, 11, 11, 12, 11, 13, 12, 11, 11, 12, 11,
        ];
        assert_eq!(Bench::of(Wrr, &[3, 2, 1]).picks(18), expected);
        let expected = [
            13, 12, 11, 11, 11, 11, 11, 13, 12, 11, 11, 11, 11, 11, 13, 12, 11, 11, 11, 11, 11,
        ];
        assert_eq!(Bench::of(Wrr, &[5, 1, 1]).picks(21), expected);
    }

    #[test]
    fn counts_in_steps_of_the_common_divisor() {
        let seen = Bench::of(Wrr, &[20, 30]).picks(25);
        let count = |server| seen.iter().filter(|&&s| s == server).count();
        assert_eq!((count(11), count(12)), (10, 15));
    }

    #[test]
    fn a_position_beyond_a_roster_that_shrank_begins_again() {
        let mut bench = Bench::of(Wrr, &[1]);
        bench.set_position(Position { next: 7, weight: 9 });
        assert_eq!(bench.picks(1), [11]);
    }

    #[test]
    fn a_new_service_starts_as_if_its_servers_had_been_added_one_by_one() {
        // .11 weight 3, then .12 weight 2, then .13 weight 1: the capture's first cycle begins
        // in its last pass.
        let roster = [(13, 1), (12, 2), (11, 3)].map(|(server, weight)| Entry { server, weight });
        let position = position_of_new(&roster);
        assert_eq!(position, Position { next: 0, weight: 1 });
    }

    #[test]
    fn a_changed_roster_is_walked_from_its_head_in_the_pass_that_fits_best() {
        let after = |weights: &[u32], weight| {
            let entry = |&weight| Entry { server: 11, weight };
            let new: std::vec::Vec<_> = weights.iter().map(entry).collect();
            position_after(Position { next: 5, weight }, &new)
        };
        let head = |weight| Position { next: 0, weight };
        assert_eq!(after(&[3, 2, 1], 2), head(2), "the bar stays");
        assert_eq!(after(&[3, 2, 1], 9), head(3), "none is as heavy any more");
        assert_eq!(after(&[30, 20], 15), head(11), "steps of 10: 21, 11, 1");
        assert_eq!(after(&[3, 2, 1], 0), head(3), "another scheduler before");
        assert_eq!(after(&[0, 0], 2), head(0), "nobody is eligible");
    }
}
