//! What a daemon that starts takes over from the one before.

use lb_model::{Desired, ServiceId};

use crate::record::Doubt;

/// What a daemon that starts takes over from the one before.
#[derive(Debug)]
pub struct Adopted {
    /// Services that the packet path may have.
    pub services: Vec<ServiceId>,
    /// True if there was a record.
    pub known: bool,
    /// What the last daemon may not have done to the end.
    pub doubts: Vec<Doubt>,
    /// True if the record was written anew since: it does not say any more which batches these are.
    pub rewritten: bool,
}

impl Adopted {
    /// The services in the packet path that were desired neither `before` nor `after`.
    #[must_use]
    pub fn foreign(&self, before: &Desired, after: &Desired) -> Vec<ServiceId> {
        let is_in = |desired: &Desired, id| desired.services.get(id).is_some();
        let services = self.services.iter().copied();
        services
            .filter(|&id| !is_in(before, id) && !is_in(after, id))
            .collect()
    }
}
