//! Waiting for something to become true, never for time to pass.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Generous: on a quiet machine nothing that a lab waits for takes a tenth of it.
pub const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(1);

/// Tries until it succeeds, for at most [`PATIENCE`]. An error means "not yet"; the last
/// one is returned, under the name of `what` was waited for.
pub fn wait_until<T>(what: &str, attempt: impl FnMut() -> Result<T>) -> Result<T> {
    wait_at_most(PATIENCE, what, attempt)
}

/// As [`wait_until`], for another time.
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
