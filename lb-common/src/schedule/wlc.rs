//! Weighted least connection (`ip_vs_wlc.c`): the server with the fewest connections for its
//! weight.

use super::{
    least::{Burden, least, overhead},
    roster::Roster,
};

/// The server with the least load for its weight, the first of equals.
#[inline(always)]
pub(super) fn choose(roster: &impl Roster) -> Option<u32> {
    least(roster, |entry, load| Burden {
        load: overhead(load),
        capacity: entry.weight as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Scheduler::Wlc, bench::Bench};

    #[test]
    fn respects_weights() {
        let mut bench = Bench::of(Wlc, &[1, 1, 1]);
        assert_eq!(bench.picks(9), [13, 12, 11, 13, 12, 11, 13, 12, 11]);
        let mut bench = Bench::of(Wlc, &[3, 1, 1]);
        let expected = [13, 12, 11, 11, 11, 13, 12, 11, 11, 11, 13, 12, 11, 11, 11];
        assert_eq!(bench.picks(15), expected);
    }
}
