//! What a director could have counted, for tests.

use lb_api::{InterfaceStats, ListedServer, ListedService, ReasonStats, Stats, TableStats};
use lb_model::{Counters, Load, Method, Scheduler, ServerOptions, ServiceOptions};

fn counters([connections, in_packets, out_packets, in_bytes, out_bytes]: [u64; 5]) -> Counters {
    Counters {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    }
}

pub fn stats() -> Stats {
    let server = |server: &str, weight, numbers, active, inactive| ListedServer {
        id: server.parse().unwrap(),
        options: ServerOptions {
            weight,
            ..ServerOptions::default()
        },
        method: Method::Nat,
        state: "up".into(),
        load: Load { active, inactive },
        persistent: 0,
        counters: counters(numbers),
    };
    let drop = |reason: &str, packets| ReasonStats {
        reason: reason.into(),
        packets,
    };
    let web = ServiceOptions {
        name: Some("web".parse().unwrap()),
        scheduler: Scheduler::Wrr,
        forward: Method::Nat,
        ..ServiceOptions::default()
    };
    Stats {
        services: vec![
            ListedService {
                id: "tcp/172.16.10.21:80".parse().unwrap(),
                options: web,
                counters: counters([25, 113, 95, 9_040, 123_456]),
                servers: vec![
                    server("192.168.100.23:80", 3, [15, 67, 55, 5_360, 71_500], 0, 15),
                    server("192.168.100.39:80", 2, [10, 46, 40, 3_680, 51_956], 1, 9),
                ],
            },
            ListedService {
                id: "udp/172.16.10.21:53".parse().unwrap(),
                options: ServiceOptions::default(),
                counters: Counters::default(),
                servers: vec![],
            },
        ],
        drops: vec![
            drop("no_server", 3),
            drop("too_big", 0),
            drop("ttl_expired", 1),
        ],
        passes: vec![drop("malformed", 0), drop("forged_source", 2)],
        connections: TableStats {
            used: 25,
            capacity: 1_000_000,
            slots: 3_000_000,
        },
        memory: 100 << 20,
        interfaces: vec![InterfaceStats {
            name: "eth0".into(),
            mode: "native".into(),
            attached: true,
            because: None,
            configured: None,
        }],
        troubles: vec!["the cable is out".into()],
        uptime: 61,
        pid: 4711,
    }
}
