//! Round robin (`ip_vs_rr.c`): eligible servers take turns.

use super::roster::{Choice, Entry, Position, Roster, Search};

/// The next eligible server in the order.
#[inline(always)]
pub(super) fn choose(roster: &impl Roster) -> Option<u32> {
    roster.turn(|position, _| {
        let mut turn = Turn {
            roster,
            start: position.next.min(roster.len()),
            next: 0,
            chosen: Choice::NONE,
        };
        // Once around meets every server.
        roster.search(roster.len(), &mut turn);
        let next = turn.next;
        Some((turn.chosen.server()?, Position { next, ..position }))
    })
}

struct Turn<'a, R> {
    roster: &'a R,
    /// At most the number of servers.
    start: u32,
    /// The place after the chosen one.
    next: u32,
    chosen: Choice,
}

impl<R: Roster> Search for Turn<'_, R> {
    /// The place follows from the step's number: a place that steps count up would be another
    /// constant in each step for the verifier, which would then check each step anew.
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let mut place = self.start + number;
        if place >= self.roster.len() {
            place -= self.roster.len();
        }
        let Some(entry) = self.roster.entry(place) else {
            return true;
        };
        if !self.roster.eligible(&entry) {
            return false;
        }
        self.next = place + 1;
        self.chosen = Choice::of(&entry);
        true
    }
}

/// Goes on after the server chosen last, or after the nearest one before it that is still in
/// the roster.
pub(super) fn position_after(old: &[Entry], position: Position, new: &[Entry]) -> Position {
    let chosen = old.len().min(position.next as usize);
    let (chosen, _) = old.split_at(chosen);
    let mut places = chosen.iter().rev().filter_map(|chosen| {
        let is_same = |entry: &Entry| entry.server == chosen.server;
        new.iter().position(is_same)
    });
    Position {
        next: places.next().map_or(0, |place| place as u32 + 1),
        weight: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Scheduler::Rr, bench::Bench},
        *,
    };
    use std::vec::Vec;

    #[test]
    fn alternates_from_the_server_added_last() {
        let mut bench = Bench::of(Rr, &[1, 1, 1]);
        assert_eq!(bench.picks(9), [13, 12, 11, 13, 12, 11, 13, 12, 11]);
        bench.reweigh(12, 0);
        assert_eq!(bench.picks(4), [13, 11, 13, 11]);
        bench.reweigh(12, 1);
        assert_eq!(bench.picks(6), [13, 12, 11, 13, 12, 11]);
    }

    #[test]
    fn a_position_beyond_a_roster_that_shrank_begins_again() {
        let mut bench = Bench::of(Rr, &[1]);
        bench.set_position(Position { next: 7, weight: 0 });
        assert_eq!(bench.picks(1), [11]);
    }

    #[test]
    fn goes_on_after_the_server_chosen_last() {
        let roster = |servers: &[u32]| -> Vec<Entry> {
            let entry = |&server| Entry { server, weight: 1 };
            servers.iter().map(entry).collect()
        };
        let old = roster(&[13, 12, 11]);
        let after = |next, new: &[u32]| {
            let position = Position { next, weight: 0 };
            position_after(&old, position, &roster(new)).next
        };
        // Nothing was chosen yet, then a server is added at the head: it is the first.
        assert_eq!(after(0, &[14, 13, 12, 11]), 0);
        // .13 was chosen: .12 is next, wherever it is.
        assert_eq!(after(1, &[14, 13, 12, 11]), 2);
        // .12 was chosen and is removed: .11 is next.
        assert_eq!(after(2, &[13, 11]), 1);
        // .13 was chosen and is removed: back to the head.
        assert_eq!(after(1, &[12, 11]), 0);
    }
}
