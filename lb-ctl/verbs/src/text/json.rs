//! Services and servers as JSON: every option, also those with their default values, and every
//! counter.

use lb_api::{InterfaceStats, ListedServer, ListedService, ReasonStats, Stats, TableStats};
use lb_model::{
    Counters, Load, ServerId, ServerOptions, ServiceId, ServiceOptions, options::Whole,
};
use serde::Serialize;

/// `lb-ctl stats --json`
#[derive(Serialize)]
pub struct StatsJson<'a> {
    services: Vec<ServiceJson<'a>>,
    drops: &'a [ReasonStats],
    passes: &'a [ReasonStats],
    connections: TableStats,
    memory: u64,
    interfaces: &'a [InterfaceStats],
    troubles: &'a [String],
    uptime: u64,
    pid: u32,
}

/// `lb-ctl service list --json`
#[derive(Serialize)]
pub struct ServiceJson<'a> {
    service: ServiceId,
    #[serde(flatten)]
    options: Whole<ServiceOptions>,
    #[serde(flatten)]
    counters: Counters,
    #[serde(flatten)]
    load: Load,
    servers: Vec<ServerJson<'a>>,
}

#[derive(Serialize)]
struct ServerJson<'a> {
    server: ServerId,
    /// `forward` is the method by which packets reach it, its service's or its own.
    #[serde(flatten)]
    options: Whole<ServerOptions>,
    state: &'a str,
    #[serde(flatten)]
    counters: Counters,
    #[serde(flatten)]
    load: Load,
}

pub fn stats(stats: &Stats) -> StatsJson<'_> {
    StatsJson {
        services: services(&stats.services),
        drops: &stats.drops,
        passes: &stats.passes,
        connections: stats.connections,
        memory: stats.memory,
        interfaces: &stats.interfaces,
        troubles: &stats.troubles,
        uptime: stats.uptime,
        pid: stats.pid,
    }
}

pub fn services(services: &[ListedService]) -> Vec<ServiceJson<'_>> {
    services.iter().map(service).collect()
}

fn service(service: &ListedService) -> ServiceJson<'_> {
    ServiceJson {
        service: service.id,
        options: Whole(service.options.clone()),
        counters: service.counters,
        load: service.load(),
        servers: service.servers.iter().map(server).collect(),
    }
}

fn server(server: &ListedServer) -> ServerJson<'_> {
    ServerJson {
        server: server.id,
        options: Whole(ServerOptions {
            forward: Some(server.method),
            ..server.options.clone()
        }),
        state: &server.state,
        counters: server.counters,
        load: server.load,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::sample;
    use lb_model::{Options, options::Row};
    use serde_json::{Value, json};

    #[test]
    fn json_has_the_keys_that_it_always_had() {
        let stats = serde_json::to_value(stats(&sample::stats())).unwrap();
        let service = &stats["services"][0];
        for (key, value) in [
            ("service", json!("tcp/172.16.10.21:80")),
            ("name", json!("web")),
            ("scheduler", json!("wrr")),
            ("connections", json!(25)),
            ("in_packets", json!(113)),
            ("out_packets", json!(95)),
            ("in_bytes", json!(9_040)),
            ("out_bytes", json!(123_456)),
            ("active", json!(1)),
            ("inactive", json!(24)),
        ] {
            assert_eq!(service[key], value, "{key}");
        }
        let server = &service["servers"][0];
        for (key, value) in [
            ("server", json!("192.168.100.23:80")),
            ("weight", json!(3)),
            ("forward", json!("nat")),
            ("state", json!("up")),
            ("inactive", json!(15)),
        ] {
            assert_eq!(server[key], value, "{key}");
        }
        assert_eq!(
            stats["drops"][0],
            json!({"reason": "no_server", "packets": 3})
        );
        assert_eq!(
            stats["passes"][1],
            json!({"reason": "forged_source", "packets": 2})
        );
        assert_eq!(stats["connections"]["used"], 25);
        assert_eq!(stats["interfaces"][0]["mode"], "native");
        assert_eq!(
            (&stats["uptime"], &stats["pid"]),
            (&json!(61), &json!(4711))
        );
    }

    /// Every option is there, also where it has its default, and hides nothing else.
    fn has_every_option<T: Options>(value: &Value, others: &[&str]) {
        let keys: Vec<_> = T::ROWS.iter().map(|row: &Row<T>| row.key).collect();
        let object = value.as_object().unwrap();
        assert_eq!(object.len(), keys.len() + others.len(), "{object:?}");
        for key in keys.iter().chain(others) {
            assert!(object.contains_key(*key), "{key}");
        }
    }

    #[test]
    fn json_has_every_option() {
        let services = serde_json::to_value(services(&sample::stats().services)).unwrap();
        const COUNTED: [&str; 7] = [
            "connections",
            "in_packets",
            "out_packets",
            "in_bytes",
            "out_bytes",
            "active",
            "inactive",
        ];
        let with = |others: &[&'static str]| [&COUNTED, others].concat();
        has_every_option::<ServiceOptions>(&services[1], &with(&["service", "servers"]));
        let server = &services[0]["servers"][0];
        has_every_option::<ServerOptions>(server, &with(&["server", "state"]));
    }
}
