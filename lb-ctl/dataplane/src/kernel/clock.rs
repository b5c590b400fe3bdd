//! The packet path's clock: the kernel's jiffies, which user space cannot read.
//!
//! The kernel moves `CLOCK_MONOTONIC_COARSE` on with each jiffy, by the length of a jiffy. The
//! program `clock` reads both at the same moment; from then on the daemon computes jiffies from
//! the clock that it can read.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use anyhow::{Context as _, Result, bail};
use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use lb_common::{layout::Settings, state::time::TICK_SHIFT};
use nix::time::{ClockId, clock_getres, clock_gettime};

const SECOND: i128 = 1_000_000_000;
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC_COARSE;

/// Jiffies in a second (`CONFIG_HZ`): the coarse clock moves on once in each.
pub fn hz() -> Result<u32> {
    let step = clock_getres(CLOCK).context("cannot tell the steps of the coarse clock")?;
    match step.tv_nsec() {
        1..=100_000_000 if step.tv_sec() == 0 => {
            Ok((SECOND as f64 / step.tv_nsec() as f64).round() as u32)
        }
        _ => bail!("the coarse clock's steps, {step}, are not jiffies"),
    }
}

/// Has the kernel write the time into the map `settings`, by the program `clock`.
pub fn read(program: &Xdp) -> Result<()> {
    let frame = [0; 64];
    program
        .test_run(TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        })
        .context("cannot run the program `clock`")?;
    Ok(())
}

/// What this process's clock is ahead of the kernel's, in nanoseconds: a process in a time
/// namespace, such as a container that was moved, has another monotonic clock.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// Compares the kernel's clock, which `read_kernel` reads in nanoseconds, with this process's.
pub fn compare(mut read_kernel: impl FnMut() -> Result<u64>) -> Result<()> {
    /// Both clocks stay at the same value for a jiffy, a millisecond or more: long enough for
    /// `read_kernel`, unless the process is interrupted.
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let before = here();
        let kernel = read_kernel()?;
        if here() == before {
            AHEAD.store((before - i128::from(kernel)) as i64, Relaxed);
            return Ok(());
        }
    }
    bail!("cannot compare the kernel's clock with this process's: it is interrupted all the time")
}

/// What this process's clock says, in nanoseconds.
fn here() -> i128 {
    let time = clock_gettime(CLOCK).unwrap_or_else(|_| {
        // Linux has had this clock since 2.6.32.
        unreachable!("CLOCK_MONOTONIC_COARSE is missing")
    });
    i128::from(time.tv_sec()) * SECOND + i128::from(time.tv_nsec())
}

/// Now, in ticks, by settings whose clock was [`read`].
pub fn now(settings: &Settings) -> u32 {
    ticks(settings, here() - i128::from(AHEAD.load(Relaxed)))
}

fn ticks(settings: &Settings, nanoseconds: i128) -> u32 {
    let since = nanoseconds - i128::from(settings.clock.nanoseconds);
    // Rounded: the coarse clock shows whole jiffies, but NTP changes their length a little.
    let half = SECOND / 2;
    let jiffies = (since * i128::from(settings.hz) + half).div_euclid(SECOND);
    ((i128::from(settings.clock.jiffies) + jiffies) >> TICK_SHIFT) as u32
}

/// Whole seconds in a number of ticks.
pub fn seconds(settings: &Settings, ticks: u32) -> u32 {
    ((u64::from(ticks) << TICK_SHIFT) / u64::from(settings.hz.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use lb_common::layout::Moment;

    use super::*;

    fn settings(hz: u32) -> Settings {
        let mut settings = Settings {
            clock: Moment {
                jiffies: (1 << 32) - 300 * u64::from(hz),
                nanoseconds: 5_000_000_000,
            },
            ..Settings::default()
        };
        settings.set_hz(hz);
        settings
    }

    #[test]
    fn ticks_follow_the_coarse_clock() {
        for hz in [100, 250, 300, 1000] {
            let settings = settings(hz);
            let begin = (settings.clock.jiffies >> TICK_SHIFT) as u32;
            assert_eq!(ticks(&settings, 5 * SECOND), begin);
            // Jiffies wrap in their lower half after five minutes, ticks much later.
            let later = ticks(&settings, 605 * SECOND);
            assert_eq!(later.wrapping_sub(begin), (600 * hz) >> TICK_SHIFT);
            assert_eq!(seconds(&settings, later.wrapping_sub(begin)), 600);
        }
    }

    #[test]
    fn the_kernel_says_how_long_a_jiffy_is() {
        assert!((24..=10_000).contains(&hz().expect("a coarse clock")));
    }
}
