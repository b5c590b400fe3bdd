//! Least connection (`ip_vs_lc.c`): the server with the fewest connections. Weights other than
//! 0 do not matter.

use super::{
    least::{Burden, least, overhead},
    roster::Roster,
};

/// The least loaded server, the first of equals.
#[inline(always)]
pub(super) fn choose(roster: &impl Roster) -> Option<u32> {
    least(roster, |_, load| Burden {
        load: overhead(load),
        capacity: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Scheduler::Lc, bench::Bench};

    #[test]
    fn ignores_weights() {
        for weights in [[1, 1, 1], [5, 1, 1]] {
            let mut bench = Bench::of(Lc, &weights);
            assert_eq!(bench.picks(9), [13, 12, 11, 13, 12, 11, 13, 12, 11]);
        }
    }
}
