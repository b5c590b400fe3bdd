//! What services and their servers count, where that concerns several maps.

use lb_common::{server::Counters, service::Service as Value};
use lb_model::ServiceId;

use super::Tables;

impl Tables {
    /// What a service's servers counted, former ones too.
    pub fn total(&self, service: ServiceId) -> Counters {
        let Some(value) = self.services.get(service) else {
            return Counters::default();
        };
        let counted: Counters = self
            .entries(service, &value)
            .map(|index| self.counts.counters(index))
            .sum();
        self.counts.former(value.index) + counted
    }

    /// Shows what these services and their servers count from here on.
    pub fn zero(&mut self, services: &[ServiceId]) {
        for &service in services {
            let Some(value) = self.services.get(service) else {
                continue;
            };
            let total = self.total(service);
            self.counts.zero_service(value.index, total);
            let entries: Vec<_> = self.entries(service, &value).collect();
            for index in entries {
                self.counts.zero(index);
            }
        }
    }

    /// The entries of all servers of a service, for each method that they had.
    fn entries(&self, service: ServiceId, value: &Value) -> impl Iterator<Item = u32> {
        self.members(value)
            .into_iter()
            .flat_map(move |server| self.servers.entries_of(service, server))
    }

    /// Estimates the rates of all services and servers.
    pub fn estimate_rates(&mut self) {
        let rows = self.services.all().map(|(_, value)| value.index);
        self.counts.estimate(self.servers.available(), rows);
    }
}
