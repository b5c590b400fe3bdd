//! What is done all the time, in small parts, so that no request has to wait long: expired
//! connections are removed, what somebody changed behind the daemon's back is undone, rates are
//! estimated.

use std::time::{Duration, Instant};

use lb_dataplane::{Dataplane, Swept};

use crate::{interfaces::Interfaces, losses::Losses, pace::Pace, troubles::Troubles};

/// A sweep of the whole table costs 1/200 of a processor, unless it would come less often than
/// every 30 seconds.
const SWEEP_SHARE: u32 = 200;
const MOST_BETWEEN_SWEEPS: Duration = Duration::from_secs(30);

/// The same for comparing all maps with the daemon's copies.
const AUDIT_SHARE: u32 = 500;
const MOST_BETWEEN_AUDITS: Duration = Duration::from_secs(5);

/// Keeps the packet path in order.
pub struct Maintenance {
    /// When the next part of the maps is compared.
    audit_due: Instant,
    audits: Pace,
    sweeps: Pace,
    /// True if no server had a connection when rates were estimated last.
    idle: bool,
    /// Packets that are lost.
    pub losses: Losses,
    /// What was logged and is not over.
    pub troubles: Troubles,
}

impl Maintenance {
    /// Begins at once.
    pub fn new() -> Self {
        Self {
            audit_due: Instant::now(),
            audits: Pace::default(),
            sweeps: Pace::default(),
            idle: false,
            losses: Losses::default(),
            troubles: Troubles::default(),
        }
    }

    /// Notices what somebody changed behind the daemon's back, and undoes it. To be called often.
    pub async fn audit(&mut self, dataplane: &mut Dataplane, interfaces: &mut Interfaces) {
        if Instant::now() < self.audit_due {
            return;
        }
        let begins = dataplane.audit_begins();
        let outcome = self.audits.part(|| {
            let outcome = dataplane.audit();
            (outcome, dataplane.audit_begins())
        });
        let period = self.audits.period(AUDIT_SHARE, MOST_BETWEEN_AUDITS);
        self.audit_due = Instant::now() + period / Dataplane::AUDITS;
        self.troubles.note("maps", outcome);
        if begins {
            self.troubles.note("pins", dataplane.repair_pins());
            let outcome = interfaces.audit(dataplane, &mut self.troubles).await;
            self.troubles.note("interfaces", outcome);
        }
    }

    /// Estimates rates. To be called every two seconds.
    pub fn estimate(&mut self, dataplane: &mut Dataplane) {
        dataplane.estimate_rates();
        self.idle = !dataplane.view().has_connections();
    }

    /// Removes expired connections from a part of the table. To be called every `interval`. True
    /// if entries of removed servers were freed.
    pub fn sweep(&mut self, dataplane: &mut Dataplane, interval: Duration) -> bool {
        let period = match self.idle {
            // There are no connections to end.
            true => MOST_BETWEEN_SWEEPS,
            false => self.sweeps.period(SWEEP_SHARE, MOST_BETWEEN_SWEEPS),
        };
        let rounds = period.as_secs_f64() / interval.as_secs_f64();
        let Swept { ended, whole } = self.sweeps.part(|| {
            let swept = dataplane.sweep(1.0 / rounds);
            (swept, swept.whole)
        });
        if ended > 0 {
            tracing::debug!("{ended} connections expired");
        }
        whole && dataplane.forget_unused()
    }
}
