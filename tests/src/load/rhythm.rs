//! Decides when a client acts.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

/// The ticks of one client out of many. The clients' ticks are spread evenly over the period.
pub fn rhythm(period: Duration, number: usize, clients: usize) -> Interval {
    let turn = period.mul_f64(number as f64 / clients as f64);
    let mut rhythm = interval_at(Instant::now() + turn, period);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rhythm
}

/// Waits for the next tick. False if the load ends before it.
pub async fn next(rhythm: &mut Interval, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => false,
        _ = rhythm.tick() => true,
    }
}
