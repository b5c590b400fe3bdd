//! What a daemon that crashed has begun, and the next one finishes when it starts.

use std::collections::HashMap;

use lb_common::server::Counters;

use super::Tables;
use crate::{encode::Identity, maps::servers::Used};

impl Tables {
    /// Servers in no roster are removed, and what removed servers counted goes to their services.
    pub(super) fn finish(&mut self) {
        self.counts.finish_giving();
        let rosters: HashMap<_, _> = self
            .services
            .all()
            .map(|(id, value)| (id, (value.index, self.members(value))))
            .collect();
        // Nothing if the service is gone.
        let belongs = |row, identity: &Identity| {
            let (own, members) = rosters.get(&identity.service)?;
            (*own == row).then(|| members.contains(&identity.server))
        };
        let all: Vec<_> = self.servers.all().collect();
        for used in all {
            let Used {
                index,
                identity,
                row,
                is_available,
            } = used;
            let belongs = belongs(row, &identity);
            if !is_available {
                if belongs.is_some() && self.counts.counters(index) != Counters::default() {
                    self.counts.give(index, row);
                }
            } else if belongs != Some(true) {
                tracing::info!(
                    "server {} was being removed from {}, or added: it is removed",
                    identity.server,
                    identity.service
                );
                self.retire(identity.service, identity.server);
            }
        }
    }
}
