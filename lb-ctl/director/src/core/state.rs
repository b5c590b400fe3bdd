//! What is desired and what is known, and the works that follow from both.

use std::collections::{BTreeMap, HashSet};

use lb_model::{Desired, Service, ServiceId, Undo, Unreachable};

use super::{
    effective::{self, Effective},
    network::Network,
    order::Work,
    orders::Orders,
};
use crate::record::{Files, Recorded};

/// What is desired and what is known.
#[derive(Debug, Default)]
pub struct State {
    /// What is desired.
    pub desired: Desired,
    /// What files say that were read.
    pub files: Files,
    /// What is known of the network.
    pub network: Network,
    /// The number of the last batch.
    pub number: u64,
    /// The table's capacity: it stays what it was made for.
    pub capacity: u32,
    /// The packet path may not do what is desired, because it could not be put back: the services
    /// that were touched, perhaps more than there are now.
    pub broken: Option<HashSet<ServiceId>>,
    /// The orders that the current event leads to.
    pub orders: Orders,
}

impl State {
    /// All that a record has to say.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        Recorded {
            desired: self.desired.clone(),
            files: self.files.clone(),
            // The core does not know them.
            interfaces: BTreeMap::new(),
            number: self.number,
            doubts: Vec::new(),
        }
    }

    /// The work that makes the packet path do what is desired of some services.
    #[must_use]
    pub fn work_on(&self, services: &[ServiceId]) -> Work {
        let mut work = Work::default();
        for &id in services {
            match self.desired.services.get(id) {
                Some(service) => work.put.push(self.effective(service)),
                None => work.remove.push(id),
            }
        }
        work
    }

    /// What the packet path has to be told after changes.
    #[must_use]
    pub fn work_since(&self, undo: &Undo) -> Work {
        let before = undo.all_before();
        let mut touched = undo.touched(&self.desired);
        if before.is_some_and(|all| all.unreachable != self.desired.unreachable) {
            self.add_all(&mut touched);
        }
        let mut work = self.work_on(&touched);
        let timeouts = before.map(|all| &all.timeouts).or(undo.timeouts_before());
        if timeouts.is_some_and(|before| *before != self.desired.timeouts) {
            work.timeouts = Some(self.desired.timeouts.clone());
        }
        if before.is_some_and(|all| all.interfaces != self.desired.interfaces) {
            work.interfaces = Some(self.desired.interfaces.clone());
        }
        work
    }

    /// Everything that the packet path has to be told, and that these services may have to go.
    #[must_use]
    pub fn whole_work<'a>(&self, others: impl Iterator<Item = &'a ServiceId>) -> Work {
        let all = self.desired.services.iter().map(|service| service.id);
        let is_there = |id: &&ServiceId| self.desired.services.get(**id).is_some();
        let gone = others.filter(|id| !is_there(id)).copied();
        let services: Vec<_> = all.chain(gone).collect();
        Work {
            timeouts: Some(self.desired.timeouts.clone()),
            interfaces: Some(self.desired.interfaces.clone()),
            ..self.work_on(&services)
        }
    }

    /// All services that are desired, besides these.
    pub fn add_all(&self, services: &mut Vec<ServiceId>) {
        let those: HashSet<_> = services.iter().copied().collect();
        let all = self.desired.services.iter().map(|service| service.id);
        services.extend(all.filter(|id| !those.contains(id)));
    }

    /// The services that have to be put again, because some of their servers can be reached now and
    /// could not be before, or the other way round.
    pub fn turned(&mut self) -> Vec<ServiceId> {
        let turned = self.network.reaches.take_turned();
        if turned.is_empty() || self.desired.unreachable == Unreachable::Keep {
            return Vec::new();
        }
        let services = self.desired.services.iter().filter(|service| {
            let mut servers = service.servers.iter();
            servers.any(|server| turned.contains(&server.id.address))
        });
        services.map(|service| service.id).collect()
    }

    fn effective(&self, service: &Service) -> Effective {
        effective::service(service, self.desired.unreachable, &self.network.reaches)
    }
}
