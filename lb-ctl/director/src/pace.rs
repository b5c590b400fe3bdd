//! How often a full pass over everything is made, in parts, so that it costs no more than a fixed
//! share of a processor: a pass that takes longer is made less often.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The pace of one kind of pass; a pass is a round.
#[derive(Default)]
pub struct Pace {
    /// The processor time that the last whole round took.
    round: Duration,
    /// The processor time that this round has taken so far.
    spent: Duration,
}

impl Pace {
    /// Does a part of a round, and measures it. The part also says whether it was the last one.
    pub fn part<T>(&mut self, part: impl FnOnce() -> (T, bool)) -> T {
        let before = processor_time();
        let (outcome, last) = part();
        self.spent += processor_time().saturating_sub(before);
        if last {
            self.round = std::mem::take(&mut self.spent);
        }
        outcome
    }

    /// How long a round should take, so that it costs 1/`share` of a processor: at least a second,
    /// at most `most`, even if it costs more then.
    pub fn period(&self, share: u32, most: Duration) -> Duration {
        (self.round * share).clamp(Duration::from_secs(1), most)
    }
}

/// The processor time that this thread has used; zero if the kernel does not tell.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_costs_more_comes_less_often() {
        const MOST: Duration = Duration::from_secs(30);
        let of = |milliseconds| Pace {
            round: Duration::from_millis(milliseconds),
            ..Pace::default()
        };
        let seconds = |cost| of(cost).period(200, MOST).as_secs();
        assert_eq!([0, 1, 5, 20, 1000].map(seconds), [1, 1, 1, 4, 30]);
    }

    #[test]
    fn a_round_is_the_sum_of_its_parts() {
        let mut pace = Pace::default();
        let busy = || {
            let before = processor_time();
            while processor_time() < before + Duration::from_millis(2) {}
        };
        pace.part(|| (busy(), false));
        assert_eq!(pace.round, Duration::ZERO);
        pace.part(|| (busy(), true));
        assert!(pace.round >= Duration::from_millis(4));
        assert_eq!(pace.spent, Duration::ZERO);
    }
}
