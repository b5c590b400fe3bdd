//! Waits for conditions to become true, never for a fixed time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Far longer than anything that a lab waits for, also on a machine that does much else meanwhile.
/// Only a test that fails waits as long: how fast something is, benchmarks say.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(1);

/// Tries until an attempt succeeds, for at most [`PATIENCE`]. An error means "not yet". After that
/// time the last error is returned, together with `what` was waited for.
pub fn wait_until<T>(what: &str, attempt: impl FnMut() -> Result<T>) -> Result<T> {
    wait_at_most(PATIENCE, what, attempt)
}

/// As [`wait_until`], with another limit of time.
pub fn wait_at_most<T>(
    patience: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() >= patience => {
                return Err(error).with_context(|| format!("waited {patience:?} for this: {what}"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
