//! How every server is reached, kept fresh.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::Result;
use futures::future::join_all;

use crate::routing::{Reach, Routing};

/// How long a server that is new may take to answer ARP before it is put into service all the
/// same, to be reached as soon as it does.
const PATIENCE: Duration = Duration::from_millis(1500);

/// In how many rounds all next hops are asked whether they are still there.
const REFRESH_ROUNDS: usize = 5;

/// What is known of the servers' addresses.
pub struct Reaches {
    routing: Routing,
    known: HashMap<Ipv4Addr, Reach>,
    round: usize,
}

impl Reaches {
    /// Nothing is known yet.
    pub fn new(routing: Routing) -> Self {
        Self {
            routing,
            known: HashMap::new(),
            round: 0,
        }
    }

    /// The kernel's interfaces, routes and neighbours.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// How an address is reached, as far as is known.
    pub fn get(&self, address: Ipv4Addr) -> Reach {
        self.known
            .get(&address)
            .cloned()
            .unwrap_or_else(|| Reach::None("not looked up yet".to_owned()))
    }

    /// Learns how these addresses are reached, all at the same time; those that are known
    /// already take no time.
    pub async fn learn(&mut self, addresses: impl Iterator<Item = Ipv4Addr>) -> Result<()> {
        let new: HashSet<_> = addresses
            .filter(|address| !self.known.contains_key(address))
            .collect();
        let routing = &self.routing;
        let reached = join_all(new.into_iter().map(async |address| {
            let reach = routing.resolve(address, PATIENCE).await?;
            anyhow::Ok((address, reach))
        }))
        .await;
        for result in reached {
            let (address, reach) = result?;
            if !matches!(reach, Reach::Hop(_) | Reach::Local) {
                tracing::warn!("server {address} cannot be reached yet: {reach}");
            }
            self.known.insert(address, reach);
        }
        Ok(())
    }

    /// Looks all addresses up again; gives those that are reached otherwise than before.
    pub async fn update(&mut self) -> Result<Vec<(Ipv4Addr, Reach)>> {
        let mut changed = Vec::new();
        for (&address, known) in &mut self.known {
            let reach = self.routing.reach(address).await?;
            if reach != *known {
                tracing::info!("server {address}: {reach}");
                changed.push((address, reach.clone()));
                *known = reach;
            }
        }
        Ok(changed)
    }

    /// Forgets the addresses of which nobody asks any more.
    pub fn keep(&mut self, addresses: &HashSet<Ipv4Addr>) {
        self.known.retain(|address, _| addresses.contains(address));
    }

    /// Makes the kernel ask next hops whether they are there: all that have not answered, and
    /// a part of the others, so that each has its turn every few calls. No traffic of the
    /// kernel's own does it: the packets that go to servers never meet its neighbour table.
    pub async fn refresh(&mut self) {
        self.round = (self.round + 1) % REFRESH_ROUNDS;
        for (place, (&address, reach)) in self.known.iter().enumerate() {
            let due = match reach {
                Reach::Hop(_) => place % REFRESH_ROUNDS == self.round,
                Reach::Unresolved { .. } => true,
                Reach::Local | Reach::None(_) => false,
            };
            if due && let Err(error) = self.routing.refresh(address).await {
                tracing::debug!("cannot ask for {address}: {error:#}");
            }
        }
    }
}
