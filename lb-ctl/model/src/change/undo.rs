//! What was there before some changes: enough to go back, and to tell what differs.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use crate::{
    desired::{Desired, Service},
    ids::ServiceId,
    options::Timeouts,
};

/// What was there before some changes: enough to go back, and to tell what differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Undo {
    /// Each service that was touched, as it was before the first change, with its place; in the
    /// order of touching.
    services: Vec<(ServiceId, Option<(u64, Service)>)>,
    /// Where a service is in `services`.
    touched: HashMap<ServiceId, usize>,
    timeouts: Option<Timeouts>,
    /// All that there was, where all was replaced. Then the changes after that are not noted one
    /// by one.
    all: Option<Box<Desired>>,
    zeroed: HashSet<ServiceId>,
    all_zeroed: bool,
}

impl Undo {
    /// The services that may differ from before.
    #[must_use]
    pub fn touched(&self, desired: &Desired) -> Vec<ServiceId> {
        let Some(before) = &self.all else {
            return self.services.iter().map(|(id, _)| *id).collect();
        };
        let differs = |id: &ServiceId| before.services.get(*id) != desired.services.get(*id);
        let gone = before.services.iter().map(|service| service.id);
        let gone = gone.filter(|id| desired.services.get(*id).is_none());
        let there = desired.services.iter().map(|service| service.id);
        gone.chain(there.filter(differs)).collect()
    }

    /// A service as it was before.
    #[must_use]
    pub fn before<'a>(&'a self, id: ServiceId, desired: &'a Desired) -> Option<&'a Service> {
        if let Some(before) = &self.all {
            return before.services.get(id);
        }
        match self.touched.get(&id) {
            Some(&at) => self.services[at].1.as_ref().map(|(_, service)| service),
            None => desired.services.get(id),
        }
    }

    /// What the timeouts were, where they were changed.
    #[must_use]
    pub fn timeouts_before(&self) -> Option<&Timeouts> {
        self.timeouts.as_ref()
    }

    /// All that there was, where all was replaced.
    #[must_use]
    pub fn all_before(&self) -> Option<&Desired> {
        self.all.as_deref()
    }

    /// The services whose counters are to be shown from here on.
    #[must_use]
    pub fn zeroed(&self, desired: &Desired) -> Vec<ServiceId> {
        if self.zeroed.is_empty() && !self.all_zeroed {
            return Vec::new();
        }
        let all = desired.services.iter().map(|service| service.id);
        all.filter(|id| self.all_zeroed || self.zeroed.contains(id))
            .collect()
    }

    /// True if nothing differs from before, and no counter is to be zeroed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.timeouts.is_none()
            && self.all.is_none()
            && self.zeroed.is_empty()
            && !self.all_zeroed
    }

    /// Makes everything what it was before.
    pub fn revert(self, desired: &mut Desired) {
        if let Some(before) = self.all {
            *desired = *before;
            return;
        }
        for (id, before) in self.services {
            match before {
                Some((place, service)) => {
                    desired.services.put_at(place, service);
                }
                None => {
                    desired.services.remove(id);
                }
            }
        }
        if let Some(timeouts) = self.timeouts {
            desired.timeouts = timeouts;
        }
    }

    /// Notes a service that is about to change.
    pub(super) fn keep(&mut self, desired: &Desired, id: ServiceId) {
        self.note(id, || {
            let place = desired.services.place(id)?;
            Some((place, desired.services.get(id)?.clone()))
        });
    }

    /// Removes a service and notes it.
    pub(super) fn remove(&mut self, desired: &mut Desired, id: ServiceId) {
        let place = desired.services.place(id);
        let removed = desired.services.remove(id);
        self.note(id, || place.zip(removed));
    }

    /// Notes all that there was, which is about to be replaced.
    pub(super) fn keep_all(&mut self, mut before: Desired) {
        if self.all.is_none() {
            // What earlier changes touched is part of "before".
            let earlier = std::mem::take(self);
            let zeroed = earlier.zeroed.clone();
            let all_zeroed = earlier.all_zeroed;
            earlier.revert(&mut before);
            *self = Self {
                all: Some(Box::new(before)),
                zeroed,
                all_zeroed,
                ..Self::default()
            };
        }
    }

    /// Notes the timeouts, which have changed.
    pub(super) fn keep_timeouts(&mut self, before: Timeouts) {
        self.timeouts.get_or_insert(before);
    }

    /// Notes a service whose counters are to be zeroed.
    pub(super) fn zero(&mut self, id: ServiceId) {
        self.zeroed.insert(id);
    }

    /// Notes that all counters are to be zeroed.
    pub(super) fn zero_all(&mut self) {
        self.all_zeroed = true;
    }

    /// `before` is asked for only where this is the first change of the service.
    fn note(&mut self, id: ServiceId, before: impl FnOnce() -> Option<(u64, Service)>) {
        if self.all.is_none()
            && let Entry::Vacant(new) = self.touched.entry(id)
        {
            new.insert(self.services.len());
            self.services.push((id, before()));
        }
    }
}
