//! How every server is reached, kept fresh.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use futures::future::join_all;

use crate::routing::{Reach, Routing};

/// How long a server that is new may take to answer ARP before it is put into service all the
/// same, to be reached as soon as it does.
const PATIENCE: Duration = Duration::from_millis(1500);

/// In how many rounds all next hops are asked whether they are still there. Many, for
/// requests wait while a round takes its time.
const REFRESH_ROUNDS: usize = 50;
/// And those that do not answer.
const SILENT_ROUNDS: usize = 10;

/// What is known of the servers' addresses.
pub struct Reaches {
    routing: Routing,
    known: HashMap<Ipv4Addr, Known>,
    round: usize,
}

struct Known {
    reach: Reach,
    /// The next hop does not answer any more, and `reach` is how it was reached last. The
    /// kernel also forgets neighbours that are well: packets go on to where they went.
    silent: bool,
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
        self.known.get(&address).map_or_else(
            || Reach::None("not looked up yet".to_owned()),
            |known| known.reach.clone(),
        )
    }

    /// True where an address was reached once and its next hop has fallen silent.
    pub fn is_silent(&self, address: Ipv4Addr) -> bool {
        self.known.get(&address).is_some_and(|known| known.silent)
    }

    /// Learns how these addresses are reached, all at the same time; those that are known
    /// already take no time.
    pub async fn learn(&mut self, addresses: impl Iterator<Item = Ipv4Addr>) {
        let new: HashSet<_> = addresses
            .filter(|address| !self.known.contains_key(address))
            .collect();
        let routing = &self.routing;
        let reached = join_all(new.into_iter().map(async |address| {
            let reach = routing.resolve(address, PATIENCE).await;
            (address, reach.unwrap_or_else(unknown))
        }))
        .await;
        for (address, reach) in reached {
            if !matches!(reach, Reach::Hop(_) | Reach::Local) {
                tracing::warn!("server {address} cannot be reached yet: {reach}");
            }
            let silent = false;
            self.known.insert(address, Known { reach, silent });
        }
    }

    /// Looks all addresses up again; gives those that are reached otherwise than before.
    pub async fn update(&mut self) -> Vec<(Ipv4Addr, Reach)> {
        let mut changed = Vec::new();
        for (&address, known) in &mut self.known {
            let reach = self.routing.reach(address).await;
            let reach = reach.unwrap_or_else(unknown);
            let silent = is_same_hop_fallen_silent(&known.reach, &reach);
            if silent && !known.silent {
                tracing::warn!("server {address}: {reach}; packets go where they went before");
            }
            known.silent = silent;
            if !silent && reach != known.reach {
                tracing::info!("server {address}: {reach}");
                changed.push((address, reach.clone()));
                known.reach = reach;
            }
        }
        changed
    }

    /// Forgets the addresses of which nobody asks any more.
    pub fn keep(&mut self, wanted: impl Fn(Ipv4Addr) -> bool) {
        self.known.retain(|&address, _| wanted(address));
    }

    /// Makes the kernel ask some next hops whether they are there, so that each has its turn
    /// every few calls, and sooner where it does not answer. No traffic of the kernel's own
    /// does it: the packets that go to servers never meet its neighbour table.
    pub async fn refresh(&mut self) {
        self.round = (self.round + 1) % REFRESH_ROUNDS;
        let has_turn = |place: usize, rounds: usize| place % rounds == self.round % rounds;
        for (place, (&address, known)) in self.known.iter().enumerate() {
            let due = match known.reach {
                Reach::Hop(_) if !known.silent => has_turn(place, REFRESH_ROUNDS),
                Reach::Hop(_) | Reach::Unresolved { .. } => has_turn(place, SILENT_ROUNDS),
                Reach::Local | Reach::None(_) => false,
            };
            if due && let Err(error) = self.routing.refresh(address).await {
                tracing::debug!("cannot ask for {address}: {error:#}");
            }
        }
    }
}

fn unknown(error: anyhow::Error) -> Reach {
    Reach::None(format!("{error:#}"))
}

fn is_same_hop_fallen_silent(before: &Reach, now: &Reach) -> bool {
    match (before, now) {
        (
            Reach::Hop(hop),
            Reach::Unresolved {
                interface,
                next_hop,
            },
        ) => hop.interface_name == *interface && hop.next_hop == *next_hop,
        _ => false,
    }
}
