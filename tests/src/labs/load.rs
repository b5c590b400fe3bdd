//! The lab for a load: one director, and a service for each forwarding method, over TCP and UDP,
//! with three servers each.

use std::fmt::Write;

use lb_lab::topology::{Host, Topology};

use crate::load::Target;

/// The director's configuration. For the TCP service of each forwarding method, it has the numbers
/// and weights of the servers. Text can be added before and after the services of the load.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The servers of DR, NAT and TUN: their numbers from 1 to 3, and their weights.
    pub servers: [Vec<(u8, u32)>; 3],
    /// Interfaces that the program is attached to.
    pub interfaces: &'static str,
    /// Timeouts, as in a file.
    pub timeouts: &'static str,
    /// More services, as in a file.
    pub others: String,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            servers: [(); 3].map(|()| vec![(1, 1), (2, 1)]),
            interfaces: "eth0, eth1",
            // Longer than a late FIN takes to be sent again (`losses::PATIENT`): replies to a
            // connection that has expired meanwhile are not translated any more.
            timeouts: "{tcpfin: 5s}",
            others: String::new(),
        }
    }
}

struct Method {
    name: &'static str,
    /// The last byte of the VIP.
    vip: u8,
    /// The first three bytes of the servers' addresses.
    servers: &'static str,
    ports: [u16; 2],
    scheduler: &'static str,
}

const METHODS: [Method; 3] = [
    Method {
        name: "dr",
        vip: 101,
        servers: "192.168.100.1",
        ports: [80, 53],
        scheduler: "rr",
    },
    Method {
        name: "nat",
        vip: 102,
        servers: "192.168.100.2",
        ports: [8080, 5353],
        scheduler: "wrr",
    },
    Method {
        name: "tun",
        vip: 103,
        servers: "10.20.0.3",
        ports: [80, 53],
        scheduler: "wrr",
    },
];

impl Configuration {
    /// As a file.
    #[must_use]
    pub fn file(&self) -> String {
        let mut file = format!(
            "interfaces: [{}]\nconnections: 100000\ntimeouts: {}\nservices:\n",
            self.interfaces, self.timeouts
        );
        for (method, servers) in METHODS.iter().zip(&self.servers) {
            let Method {
                name,
                vip,
                scheduler,
                ports,
                ..
            } = method;
            let mut service = |protocol, port, own: u16, servers: &[(u8, u32)]| {
                let _ = writeln!(
                    file,
                    "  - {{name: {name}-{protocol}, address: 172.16.0.{vip}:{port}, \
                     protocol: {protocol}, scheduler: {scheduler}, forward: {name}, servers: ["
                );
                for (number, weight) in servers {
                    let begin = method.servers;
                    let _ = writeln!(
                        file,
                        "      {{address: \"{begin}{number}:{own}\", weight: {weight}}},"
                    );
                }
                let _ = writeln!(file, "    ]}}");
            };
            service("tcp", 80, ports[0], servers);
            service("udp", 53, ports[1], &[(1, 1), (2, 1)]);
        }
        file + &self.others
    }

    /// What a listing of the TCP services must show: servers and weights, in order.
    #[must_use]
    pub fn listing(&self) -> Vec<(String, Vec<(String, u32)>)> {
        METHODS
            .iter()
            .zip(&self.servers)
            .map(|(method, servers)| {
                let servers = servers.iter().map(|(number, weight)| {
                    let address = format!("{}{number}:{}", method.servers, method.ports[0]);
                    (address, *weight)
                });
                (tcp_service(method), servers.collect())
            })
            .collect()
    }
}

fn tcp_service(method: &Method) -> String {
    format!("tcp/172.16.0.{}:80", method.vip)
}

/// The TCP service of the target with this name.
#[must_use]
pub fn service(target: &str) -> String {
    let method = METHODS.iter().find(|method| method.name == target);
    method.map(tcp_service).unwrap_or_default()
}

/// The services, one for each forwarding method.
#[must_use]
pub fn targets() -> Vec<Target> {
    METHODS
        .iter()
        .map(|method| Target {
            name: method.name,
            tcp: ([172, 16, 0, method.vip], 80).into(),
            udp: ([172, 16, 0, method.vip], 53).into(),
        })
        .collect()
}

/// The machines. Each service has three servers. Packets of full size fit into the tunnel.
#[must_use]
pub fn topology() -> Topology {
    const BY_ROUTER: &str = "192.168.100.3 rto_min 2s";
    const BY_DIRECTOR: &str = "192.168.100.1 rto_min 2s";
    let direct = |name, address| {
        let server = Host::new(name).on("inside", address);
        let server = server.gateway(BY_ROUTER).holds_silently("172.16.0.101");
        server.echo("172.16.0.101:80").udp("172.16.0.101:53")
    };
    let translated = |name, address| {
        let server = Host::new(name).on("inside", address).gateway(BY_DIRECTOR);
        server.echo("0.0.0.0:8080").udp("0.0.0.0:5353")
    };
    let tunnelled = |name, address| {
        let server = Host::new(name).on("far", address);
        let server = server.gateway("10.20.0.1 rto_min 2s");
        let server = server.decapsulates_for("172.16.0.103");
        server.echo("172.16.0.103:80").udp("172.16.0.103:53")
    };
    let mut client = Host::new("client").on("outside", "172.16.0.2/24");
    client
        .routes
        .push("172.16.0.96/28 dev eth0 rto_min 2s mtu 1480".to_owned());
    Topology::new(
        "load",
        [
            client,
            Host::new("router")
                .on("outside", "172.16.0.3/24")
                .on("inside", "192.168.100.3/24")
                .on("far", "10.20.0.1/24")
                .forwards(),
            Host::new("director")
                .on("outside", "172.16.0.1/24")
                .and("172.16.0.101/32")
                .and("172.16.0.102/32")
                .and("172.16.0.103/32")
                .on("inside", "192.168.100.1/24")
                .on("spare", "198.51.100.1/24")
                .on("spare", "198.51.100.2/24")
                .forwards()
                .route("10.20.0.0/24", "192.168.100.3"),
            direct("dr1", "192.168.100.11/24"),
            direct("dr2", "192.168.100.12/24"),
            direct("dr3", "192.168.100.13/24"),
            translated("nat1", "192.168.100.21/24"),
            translated("nat2", "192.168.100.22/24"),
            translated("nat3", "192.168.100.23/24"),
            tunnelled("tun1", "10.20.0.31/24"),
            tunnelled("tun2", "10.20.0.32/24"),
            tunnelled("tun3", "10.20.0.33/24"),
        ],
    )
    .queues(16)
}
