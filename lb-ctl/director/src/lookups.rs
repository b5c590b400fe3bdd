//! Asks the kernel how addresses are reached. This runs in tasks of its own, so that the daemon
//! does not wait for servers that are slow to answer ARP, or for thousands of questions.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use futures_util::future::join_all;
use lb_network::{Reach, Routing};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::core::Event;

/// How long a new server may take to answer ARP. Then it is put into service all the same, and
/// reached as soon as it answers.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Starts the tasks that ask.
pub struct Lookups {
    routing: Arc<Routing>,
    answers: mpsc::UnboundedSender<Event>,
    refreshing: Option<JoinHandle<()>>,
}

impl Lookups {
    /// Also gives the channel in which the answers arrive.
    pub fn new(routing: Arc<Routing>) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (answers, incoming) = mpsc::unbounded_channel();
        let lookups = Self {
            routing,
            answers,
            refreshing: None,
        };
        (lookups, incoming)
    }

    /// Finds out how new servers are reached.
    pub fn explore(&self, epoch: u64, addresses: Vec<IpAddr>) {
        let (routing, answers) = (Arc::clone(&self.routing), self.answers.clone());
        tokio::spawn(async move {
            let found = explore(&routing, addresses).await;
            // The daemon closes the channel when it ends.
            let _ = answers.send(Event::Explored {
                epoch,
                remembered: Vec::new(),
                found,
            });
        });
    }

    /// Finds out how servers are reached now.
    pub fn update(&self, addresses: Vec<IpAddr>) {
        let (routing, answers) = (Arc::clone(&self.routing), self.answers.clone());
        tokio::spawn(async move {
            let mut found = Vec::with_capacity(addresses.len());
            for address in addresses {
                found.push((address, reach(&routing, address).await));
            }
            let _ = answers.send(Event::Updated(found));
        });
    }

    /// Makes the kernel probe next hops, unless the task of the last call is still running.
    pub fn refresh(&mut self, due: impl FnOnce() -> Vec<IpAddr>) {
        if self
            .refreshing
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let due = due();
        if due.is_empty() {
            return;
        }
        let routing = Arc::clone(&self.routing);
        self.refreshing = Some(tokio::spawn(async move {
            for address in due.into_iter().filter_map(v4) {
                if let Err(error) = routing.refresh(address).await {
                    tracing::debug!("cannot probe {address}: {error:#}");
                }
            }
        }));
    }
}

/// How addresses are reached. Those that have to answer ARP are all waited for at once.
async fn explore(routing: &Routing, addresses: Vec<IpAddr>) -> Vec<(IpAddr, Reach)> {
    let mut found = Vec::with_capacity(addresses.len());
    let mut unresolved = Vec::new();
    for address in addresses {
        match (reach(routing, address).await, v4(address)) {
            (Reach::Unresolved { .. }, Some(address)) => unresolved.push(address),
            (reach, _) => found.push((address, reach)),
        }
    }
    let resolved = join_all(unresolved.into_iter().map(async |address| {
        let reach = routing.resolve(address, PATIENCE).await;
        (address.into(), known(reach))
    }));
    found.extend(resolved.await);
    found
}

async fn reach(routing: &Routing, address: IpAddr) -> Reach {
    match v4(address) {
        Some(address) => known(routing.reach(address).await),
        None => Reach::None("it is an IPv6 address".to_owned()),
    }
}

fn known(reach: Result<Reach>) -> Reach {
    reach.unwrap_or_else(|error| Reach::None(format!("{error:#}")))
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
