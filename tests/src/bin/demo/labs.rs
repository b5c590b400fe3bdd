//! The labs of the demo: one for each forwarding method, all with three real servers.

use lb_lab::topology::{Host, Topology};

/// A lab, and the text that explains it.
pub struct Story {
    pub method: &'static str,
    pub idea: &'static str,
    pub diagram: &'static str,
    pub service: &'static str,
    pub configuration: &'static str,
    pub topology: Topology,
}

/// In the order in which they are shown.
pub fn stories() -> [Story; 3] {
    [direct(), translated(), tunnelled()]
}

fn direct() -> Story {
    let server = |name, address| {
        let server = Host::new(name).on("lan", address);
        server.holds_silently("192.168.100.100").http("0.0.0.0:80")
    };
    Story {
        method: "DR",
        idea: "servers hold the VIP too, and answer the client themselves",
        diagram: "
client ───▶ director ───▶ web1 web2 web3     client .10, director .2 with the VIP .100,
  ▲                        │    │    │       servers .11 .12 .13: all in 192.168.100.0/24
  └────────────────────────┴────┴────┘
",
        service: "192.168.100.100:80",
        configuration: "
interfaces: [eth0]
services:
  - {address: 192.168.100.100:80, scheduler: rr, forward: dr, servers: [
      {address: 192.168.100.11}, {address: 192.168.100.12}, {address: 192.168.100.13}]}
",
        topology: Topology::new(
            "dr",
            [
                Host::new("client").on("lan", "192.168.100.10/24"),
                Host::new("director")
                    .on("lan", "192.168.100.2/24")
                    .and("192.168.100.100/32"),
                server("web1", "192.168.100.11/24"),
                server("web2", "192.168.100.12/24"),
                server("web3", "192.168.100.13/24"),
            ],
        ),
    }
}

fn translated() -> Story {
    let server = |name, address| {
        let server = Host::new(name).on("inside", address);
        server.gateway("192.168.100.1").http("0.0.0.0:8080")
    };
    Story {
        method: "NAT",
        idea: "requests and replies pass the director, which changes addresses and ports",
        diagram: "
client ◀──▶ director ◀──▶ web1 web2 web3     client 172.16.10.10, VIP 172.16.10.1;
                                             servers 192.168.100.11 .12 .13, port 8080
",
        service: "172.16.10.1:80",
        configuration: "
interfaces: [eth0, eth1]
services:
  - {address: 172.16.10.1:80, scheduler: wrr, forward: nat, servers: [
      {address: 192.168.100.11:8080, weight: 3}, {address: 192.168.100.12:8080, weight: 2},
      {address: 192.168.100.13:8080, weight: 1}]}
",
        topology: Topology::new(
            "nat",
            [
                Host::new("client").on("outside", "172.16.10.10/24"),
                Host::new("director")
                    .on("outside", "172.16.10.1/24")
                    .on("inside", "192.168.100.1/24")
                    .forwards(),
                server("web1", "192.168.100.11/24"),
                server("web2", "192.168.100.12/24"),
                server("web3", "192.168.100.13/24"),
            ],
        ),
    }
}

fn tunnelled() -> Story {
    let server = |name, address| {
        let server = Host::new(name).on("far", address).gateway("10.20.0.1");
        server
            .decapsulates_for("192.168.100.100")
            .http("0.0.0.0:80")
    };
    Story {
        method: "TUN",
        idea: "requests travel to another network inside IPIP packets; replies go straight",
        diagram: "
client ───▶ director ═══▶ web1 web2 web3     client 172.16.10.10, VIP 192.168.100.100,
  ▲                        │    │    │       servers 10.20.0.11 .12 .13:
  └────────────────────────┴────┴────┘       a router between the three networks
",
        service: "192.168.100.100:80",
        configuration: "
interfaces: [eth0]
services:
  - {address: 192.168.100.100:80, scheduler: wlc, forward: tun, servers: [
      {address: 10.20.0.11}, {address: 10.20.0.12}, {address: 10.20.0.13}]}
",
        topology: Topology::new(
            "tun",
            [
                Host::new("client")
                    .on("outside", "172.16.10.10/24")
                    .gateway("172.16.10.1"),
                Host::new("router")
                    .on("outside", "172.16.10.1/24")
                    .on("near", "192.168.100.1/24")
                    .on("far", "10.20.0.1/24")
                    .forwards(),
                Host::new("director")
                    .on("near", "192.168.100.2/24")
                    .and("192.168.100.100/32")
                    .gateway("192.168.100.1"),
                server("web1", "10.20.0.11/24"),
                server("web2", "10.20.0.12/24"),
                server("web3", "10.20.0.13/24"),
            ],
        ),
    }
}
