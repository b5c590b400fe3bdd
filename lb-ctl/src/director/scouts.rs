//! Who goes and asks, while the daemon does something else: the kernel answers at once, but a
//! server that nobody answers for is waited for, and many servers are many questions.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use lb_network::{Reach, Routing};
use tokio::sync::mpsc;

use super::task::Task;

/// How long a server that is new may take to answer ARP before it is put into service all the
/// same, to be reached as soon as it does.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What a scout comes back with.
pub enum Report {
    /// How the servers of a task are reached, which can now be done.
    Explored {
        /// What is to be done.
        task: Task,
        /// How servers that were not known are reached.
        found: Vec<(Ipv4Addr, Reach)>,
        /// When the scout left: see [`Scouts::explore`].
        epoch: u64,
    },
    /// How servers are reached that were known before.
    Updated(Vec<(Ipv4Addr, Reach)>),
    /// Next hops have been asked whether they are there.
    Refreshed,
}

/// Sends scouts.
pub struct Scouts {
    routing: Arc<Routing>,
    reports: mpsc::UnboundedSender<Report>,
    updating: bool,
    again: bool,
    refreshing: bool,
}

impl Scouts {
    /// Gives where their reports come in, as well.
    pub fn new(routing: Arc<Routing>) -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (reports, incoming) = mpsc::unbounded_channel();
        let scouts = Self {
            routing,
            reports,
            updating: false,
            again: false,
            refreshing: false,
        };
        (scouts, incoming)
    }

    /// Finds out how servers are reached that a task is about. `epoch` goes up with every
    /// change of the network: what was found in an older one may be out of date.
    pub fn explore(&self, task: Task, unknown: Vec<Ipv4Addr>, epoch: u64) {
        let (routing, reports) = (Arc::clone(&self.routing), self.reports.clone());
        tokio::spawn(async move {
            let found = explore(&routing, unknown).await;
            // Nobody listens any more when the daemon ends.
            let _ = reports.send(Report::Explored { task, found, epoch });
        });
    }

    /// Looks servers up again, all that the caller knows of. False where that is not possible
    /// now, but will be asked for when [`Self::updated`] is called.
    pub fn update(&mut self, known: impl FnOnce() -> Vec<Ipv4Addr>) {
        if self.updating {
            self.again = true;
            return;
        }
        self.updating = true;
        let (routing, reports, known) = (Arc::clone(&self.routing), self.reports.clone(), known());
        tokio::spawn(async move {
            let mut found = Vec::with_capacity(known.len());
            for address in known {
                found.push((address, reach(&routing, address).await));
            }
            let _ = reports.send(Report::Updated(found));
        });
    }

    /// An update has come in. True where another one is due.
    pub fn updated(&mut self) -> bool {
        self.updating = false;
        std::mem::take(&mut self.again)
    }

    /// Makes the kernel ask next hops whether they are there, unless it still does so.
    pub fn refresh(&mut self, due: impl FnOnce() -> Vec<Ipv4Addr>) {
        if self.refreshing {
            return;
        }
        let due = due();
        if due.is_empty() {
            return;
        }
        self.refreshing = true;
        let (routing, reports) = (Arc::clone(&self.routing), self.reports.clone());
        tokio::spawn(async move {
            for address in due {
                if let Err(error) = routing.refresh(address).await {
                    tracing::debug!("cannot ask for {address}: {error:#}");
                }
            }
            let _ = reports.send(Report::Refreshed);
        });
    }

    /// Those who refreshed are back.
    pub fn refreshed(&mut self) {
        self.refreshing = false;
    }
}

/// How addresses are reached. Those that must be asked for by ARP are all waited for at once.
pub async fn explore(routing: &Routing, addresses: Vec<Ipv4Addr>) -> Vec<(Ipv4Addr, Reach)> {
    let mut found = Vec::with_capacity(addresses.len());
    let mut unresolved = Vec::new();
    for address in addresses {
        match reach(routing, address).await {
            Reach::Unresolved { .. } => unresolved.push(address),
            reach => found.push((address, reach)),
        }
    }
    let resolved = join_all(unresolved.into_iter().map(async |address| {
        let reach = routing.resolve(address, PATIENCE).await;
        (address, reach.unwrap_or_else(unknown))
    }));
    found.extend(resolved.await);
    found
}

async fn reach(routing: &Routing, address: Ipv4Addr) -> Reach {
    routing.reach(address).await.unwrap_or_else(unknown)
}

fn unknown(error: anyhow::Error) -> Reach {
    Reach::None(format!("{error:#}"))
}
