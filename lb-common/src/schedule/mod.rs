//! IPVS's schedulers, pick for pick (`net/netfilter/ipvs/ip_vs_*.c`, Linux 6.12), each in a file
//! with IPVS's name for it: its choice, and where it continues when its roster changes.
//!
//! A new scheduler is a file here and a line in [`Scheduler`]. Every other place matches on
//! the enum without a default, so that the compiler asks for the rest.
//!
//! All schedulers walk a roster in the order in which its servers are scheduled. IPVS has the
//! server that was added last at the head of that order; whoever builds a roster sees to it.

mod lc;
mod least;
mod roster;
mod rr;
mod wlc;
mod wrr;

use core::iter;

pub use self::roster::{Entry, LINE_ENTRIES, MAX_SERVERS, Position, Roster, RosterLine, Search};
use crate::numbered::numbered;

numbered! {
    /// How a service chooses a server for a new connection.
    pub enum Scheduler: u8 {
        /// Round robin.
        Rr = 0,
        /// Weighted round robin.
        Wrr = 1,
        /// Least connection.
        Lc = 2,
        /// Weighted least connection.
        Wlc = 3,
    }
}

impl Scheduler {
    /// The server for a new connection; `None` if no server is eligible.
    #[inline(always)]
    pub fn choose(self, roster: &impl Roster) -> Option<u32> {
        match self {
            Self::Rr => rr::choose(roster),
            Self::Wrr => wrr::choose(roster),
            Self::Lc => lc::choose(roster),
            Self::Wlc => wlc::choose(roster),
        }
    }

    /// Where it begins in a new service.
    #[must_use]
    pub fn position_of_new(self, roster: &[Entry]) -> Position {
        match self {
            Self::Wrr => wrr::position_of_new(roster),
            Self::Rr | Self::Lc | Self::Wlc => Position::default(),
        }
    }

    /// Where it continues after its roster changed from `old`, where it had come to `position`,
    /// to `new`.
    #[must_use]
    pub fn position_after(self, old: &[Entry], position: Position, new: &[Entry]) -> Position {
        match self {
            Self::Rr => rr::position_after(old, position, new),
            Self::Wrr => wrr::position_after(position, new),
            Self::Lc | Self::Wlc => Position::default(),
        }
    }

    /// What it has to know of all weights before it chooses: word 1 of a roster's header.
    fn digest(self, roster: &[Entry]) -> u64 {
        match self {
            Self::Wrr => wrr::digest(roster),
            Self::Rr | Self::Lc | Self::Wlc => 0,
        }
    }

    /// Lines of its table, which follow the servers in the roster.
    const fn table_lines(self) -> u32 {
        match self {
            Self::Rr | Self::Wrr | Self::Lc | Self::Wlc => 0,
        }
    }

    /// Lines that a roster of this many servers takes.
    #[must_use]
    pub const fn roster_lines(self, servers: u32) -> u32 {
        1 + servers.div_ceil(LINE_ENTRIES) + self.table_lines()
    }

    /// A roster as it lies in the map: [`Self::roster_lines`] of them.
    pub fn roster(self, servers: &[Entry], position: Position) -> impl Iterator<Item = RosterLine> {
        let header = RosterLine::header(position, self.digest(servers));
        let entries = servers.chunks(LINE_ENTRIES as usize).map(RosterLine::of);
        iter::once(header).chain(entries)
    }
}

#[cfg(test)]
mod bench;

#[cfg(test)]
mod tests {
    use super::{bench::Bench, *};
    use crate::server::Load;
    use std::vec::Vec;

    // More tests of each scheduler are in its file. All sequences of picks are captures from
    // Linux 6.1 and 6.12 with the real ip_vs.

    #[test]
    fn an_active_connection_counts_as_257_inactive_ones() {
        for scheduler in [Scheduler::Lc, Scheduler::Wlc] {
            let mut bench = Bench::of(scheduler, &[1, 1]);
            let (active, inactive) = (1, 0);
            bench.set_load(11, Load { active, inactive });
            let (active, inactive) = (0, 257);
            bench.set_load(12, Load { active, inactive });
            assert_eq!(bench.choose(), Some(12), "the first of equals");
            let inactive = 258;
            bench.set_load(12, Load { active, inactive });
            assert_eq!(bench.choose(), Some(11));
        }
    }

    #[test]
    fn many_connections_do_not_look_like_few() {
        for scheduler in [Scheduler::Lc, Scheduler::Wlc] {
            let mut bench = Bench::of(scheduler, &[1, 1]);
            // Times 257, this is 2^32 + 256.
            for (server, active) in [(12, 16_711_936), (11, 1)] {
                let inactive = 0;
                bench.set_load(server, Load { active, inactive });
            }
            assert_eq!(bench.choose(), Some(11));
        }
    }

    #[test]
    fn no_scheduler_chooses_a_server_of_weight_0_or_among_none() {
        for &scheduler in Scheduler::ALL {
            for weights in [&[0, 0][..], &[]] {
                let bench = Bench::of(scheduler, weights);
                assert_eq!(bench.choose(), None, "{scheduler:?}");
            }
        }
    }

    #[test]
    fn no_scheduler_chooses_a_server_that_is_not_eligible_for_another_reason_than_its_weight() {
        for &scheduler in Scheduler::ALL {
            let mut bench = Bench::of(scheduler, &[2, 2, 2]);
            bench.overloaded.push(12);
            assert_eq!(bench.picks(4), [13, 11, 13, 11], "{scheduler:?}");
        }
    }

    #[test]
    fn a_roster_has_as_many_lines_as_are_kept_for_it() {
        for &scheduler in Scheduler::ALL {
            for servers in [0, 1, 7, 8, 9, MAX_SERVERS] {
                let entry = |server| Entry { server, weight: 1 };
                let entries: Vec<_> = (0..servers).map(entry).collect();
                let lines = scheduler.roster(&entries, Position::default()).count();
                assert_eq!(lines, scheduler.roster_lines(servers) as usize);
            }
        }
    }

    #[test]
    fn a_roster_is_a_header_and_then_its_servers_in_their_order() {
        let entry = |server| Entry { server, weight: 5 };
        let entries: Vec<_> = (100..109).map(entry).collect();
        let position = Position { next: 3, weight: 2 };
        let lines: Vec<_> = Scheduler::Wrr.roster(&entries, position).collect();
        assert_eq!(lines[0].words, [3 | 2 << 32, 1 | 5 << 32, 0, 0, 0, 0, 0, 0]);
        assert_eq!(lines[1].words[7], 107 | 5 << 32);
        assert_eq!(lines[2].words, [108 | 5 << 32, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_number_that_no_scheduler_has_is_none() {
        for &scheduler in Scheduler::ALL {
            assert_eq!(Scheduler::of_number(scheduler as u8), Some(scheduler));
        }
        assert_eq!(Scheduler::of_number(Scheduler::ALL.len() as u8), None);
        assert_eq!(Scheduler::of_number(u8::MAX), None);
    }
}
