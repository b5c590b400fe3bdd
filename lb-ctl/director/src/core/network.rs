//! What is known of the network, and what is being asked of it.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashSet},
    mem,
    net::IpAddr,
};

use lb_model::Desired;
use lb_network::Reach;

use super::{addresses, order::Order, orders::Orders, reaches::Reaches};

/// What is known of the network, and what is being asked of it.
#[derive(Debug, Default)]
pub struct Network {
    /// How servers are reached.
    pub reaches: Reaches,
    /// This machine's addresses, if they are known.
    pub own: Option<BTreeSet<IpAddr>>,
    /// How often the network has changed. What was asked in an earlier epoch may be out of date.
    epoch: u64,
    /// Addresses that are being explored.
    exploring: HashSet<IpAddr>,
    updating: Updating,
}

/// Whether all known addresses are being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Updating {
    #[default]
    No,
    Yes,
    /// The network has changed since: the answer is followed by another question.
    YesAndAgain,
}

impl Network {
    /// Has those of the addresses explored of which nothing is known.
    pub fn explore(&mut self, addresses: &[IpAddr], orders: &mut Orders) {
        let unknown = |address: &IpAddr| !self.reaches.knows(*address);
        let unknown: HashSet<IpAddr> = addresses.iter().copied().filter(unknown).collect();
        let new: Vec<IpAddr> = unknown.difference(&self.exploring).copied().collect();
        if new.is_empty() {
            return;
        }
        self.exploring.extend(&new);
        orders.give(Order::Explore {
            epoch: self.epoch,
            addresses: new,
        });
    }

    /// Takes in how explored addresses are reached.
    pub fn explored(
        &mut self,
        epoch: u64,
        remembered: Vec<(IpAddr, Reach)>,
        found: Vec<(IpAddr, Reach)>,
        desired: &Desired,
        orders: &mut Orders,
    ) {
        for (address, _) in &found {
            self.exploring.remove(address);
        }
        let servers = OnceCell::new();
        let wanted = |address| is_wanted(&servers, desired, address);
        orders.tell(self.reaches.learn(remembered, found, wanted));
        if epoch != self.epoch {
            self.update(orders);
        }
    }

    /// The network has changed. `answers` is true where an answer to an earlier question may be
    /// wrong now.
    pub fn changed(&mut self, answers: bool, orders: &mut Orders) {
        self.epoch += 1;
        if answers {
            self.update(orders);
        }
        orders.give(Order::RoutesChanged);
    }

    /// Takes in how all known addresses are reached now.
    pub fn updated(&mut self, found: Vec<(IpAddr, Reach)>, desired: &Desired, orders: &mut Orders) {
        let servers = OnceCell::new();
        let wanted = |address| is_wanted(&servers, desired, address);
        let (changed, told) = self.reaches.update(found, wanted);
        orders.tell(told);
        for (address, reach) in changed {
            orders.give(Order::NextHop { address, reach });
        }
        if mem::take(&mut self.updating) == Updating::YesAndAgain {
            self.update(orders);
        }
    }

    /// Asks again how all known addresses are reached.
    fn update(&mut self, orders: &mut Orders) {
        if self.updating != Updating::No {
            self.updating = Updating::YesAndAgain;
            return;
        }
        let known = self.reaches.addresses();
        if !known.is_empty() {
            self.updating = Updating::Yes;
            orders.give(Order::Update(known));
        }
    }
}

/// True if a server that is desired has the address. A removed one is known as long as it has
/// connections, and nobody wants to hear of it. All servers are collected when one is asked for.
fn is_wanted(servers: &OnceCell<HashSet<IpAddr>>, desired: &Desired, address: IpAddr) -> bool {
    let servers = servers.get_or_init(|| addresses::desired(desired).into_iter().collect());
    servers.contains(&address)
}
