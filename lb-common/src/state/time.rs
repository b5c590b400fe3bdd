//! Time in the connection table: ticks.

/// A tick is 2^`TICK_SHIFT` jiffies. The kernel counts 100 to 1000 jiffies a second, as it was
/// built; a tick has 4 to 40 ms, and a count of them wraps after half a year at least.
///
/// Reading jiffies costs one load. A busy connection is stamped once a tick, not with every
/// packet.
pub const TICK_SHIFT: u32 = 2;

/// The ticks in a number of seconds, rounded up; at most the largest [`age`].
#[must_use]
pub const fn ticks(seconds: u32, hz: u32) -> u32 {
    let ticks = (seconds as u64 * hz as u64).div_ceil(1 << TICK_SHIFT);
    if ticks < MAX_AGE as u64 {
        ticks as u32
    } else {
        MAX_AGE
    }
}

const MAX_AGE: u32 = u32::MAX / 2;

/// The ticks between a stamp and now. A stamp from the future has age 0: another CPU read the
/// clock a moment later.
#[inline(always)]
#[must_use]
pub const fn age(now: u32, stamp: u32) -> u32 {
    let age = now.wrapping_sub(stamp);
    if age > MAX_AGE { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_from_the_future_has_no_age() {
        assert_eq!(age(5, 3), 2);
        assert_eq!(age(3, 5), 0);
        assert_eq!(age(1, u32::MAX), 2);
    }

    #[test]
    fn seconds_become_ticks_rounded_up() {
        assert_eq!(ticks(0, 250), 0);
        assert_eq!(ticks(1, 100), 25);
        assert_eq!(ticks(1, 250), 63);
        assert_eq!(ticks(900, 1000), 225_000);
        assert_eq!(ticks(u32::MAX, 1000), u32::MAX / 2);
    }
}
