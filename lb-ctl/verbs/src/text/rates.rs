//! How much passes in a second: the difference of two readings of the counters.

use std::{collections::HashMap, time::Duration};

use serde::Serialize;

use lb_api::Stats;
use lb_model::{Counters, ServerId, ServiceId};

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Connections opened.
    pub connections: f64,
    /// Packets from clients.
    pub in_packets: f64,
    /// Packets to clients.
    pub out_packets: f64,
    /// Bytes from clients.
    pub in_bytes: f64,
    /// Bytes to clients.
    pub out_bytes: f64,
}

/// Those of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceRates {
    /// Which.
    pub service: ServiceId,
    /// Of all its servers together.
    #[serde(flatten)]
    pub rates: Rates,
    /// Of each of them, in the order of the later reading.
    pub servers: Vec<ServerRates>,
}

/// Those of a server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerRates {
    /// Which.
    pub server: ServerId,
    /// What passes.
    #[serde(flatten)]
    pub rates: Rates,
}

/// The rates between two readings, for the services and servers of the later one, in its order.
/// What was not there before counts from 0.
#[must_use]
pub fn between(before: &Stats, after: &Stats, elapsed: Duration) -> Vec<ServiceRates> {
    let mut services = HashMap::new();
    let mut servers = HashMap::new();
    for service in &before.services {
        services.insert(service.id, service.counters);
        for server in &service.servers {
            servers.insert((service.id, server.id), server.counters);
        }
    }
    let rates = |before: Option<&Counters>, after: &Counters| {
        Rates::between(&before.copied().unwrap_or_default(), after, elapsed)
    };
    after
        .services
        .iter()
        .map(|service| ServiceRates {
            service: service.id,
            rates: rates(services.get(&service.id), &service.counters),
            servers: service
                .servers
                .iter()
                .map(|server| ServerRates {
                    server: server.id,
                    rates: rates(servers.get(&(service.id, server.id)), &server.counters),
                })
                .collect(),
        })
        .collect()
}

impl Rates {
    fn between(before: &Counters, after: &Counters, elapsed: Duration) -> Self {
        // A counter that is lower than before was started again from 0.
        let rate = |before: u64, after: u64| {
            after.checked_sub(before).unwrap_or(after) as f64 / elapsed.as_secs_f64()
        };
        Self {
            connections: rate(before.connections, after.connections),
            in_packets: rate(before.in_packets, after.in_packets),
            out_packets: rate(before.out_packets, after.out_packets),
            in_bytes: rate(before.in_bytes, after.in_bytes),
            out_bytes: rate(before.out_bytes, after.out_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::sample;

    fn stats(connections: u64) -> Stats {
        let mut stats = sample::stats();
        let service = &mut stats.services[0];
        service.counters.connections = connections;
        service.servers[0].counters.connections = connections;
        stats
    }

    #[test]
    fn rates_are_counted_over_the_time_that_passed() {
        let rates = between(&stats(100), &stats(103), Duration::from_millis(1500));
        assert_eq!(rates[0].rates.connections, 2.0);
        assert_eq!(rates[0].servers[0].rates.connections, 2.0);
    }

    #[test]
    fn what_is_new_or_was_started_again_counts_from_0() {
        let second = Duration::from_secs(1);
        let new = between(&Stats::default(), &stats(7), second);
        assert_eq!(new[0].rates.connections, 7.0);
        let again = between(&stats(100), &stats(7), second);
        assert_eq!(again[0].rates.connections, 7.0);
    }
}
