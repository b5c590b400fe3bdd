//! When a client acts.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

/// Ticks of one client of many, which take turns.
pub fn rhythm(period: Duration, number: usize, clients: usize) -> Interval {
    let turn = period.mul_f64(number as f64 / clients as f64);
    let mut rhythm = interval_at(Instant::now() + turn, period);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rhythm
}

/// True at the next tick; false when the load ends.
pub async fn next(rhythm: &mut Interval, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        _ = rhythm.tick() => true,
    }
}
