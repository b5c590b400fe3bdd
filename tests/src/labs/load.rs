//! For a load: one director with a service for each forwarding method, over TCP and UDP, each
//! with servers of its own.

use crate::{
    load::Target,
    topology::{Host, Topology},
};

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0, eth1]
connections: 100000
services:
  - {name: dr, address: 172.16.0.101:80, scheduler: rr, servers: [
      {address: 192.168.100.11}, {address: 192.168.100.12}]}
  - {name: nat, address: 172.16.0.102:80, scheduler: wrr, forward: nat, servers: [
      {address: 192.168.100.21:8080}, {address: 192.168.100.22:8080}]}
  - {name: tun, address: 172.16.0.103:80, scheduler: wlc, forward: tun, servers: [
      {address: 10.20.0.31}, {address: 10.20.0.32}]}
  - {name: dr-udp, address: 172.16.0.101:53, protocol: udp, scheduler: rr, servers: [
      {address: 192.168.100.11}, {address: 192.168.100.12}]}
  - {name: nat-udp, address: 172.16.0.102:53, protocol: udp, scheduler: rr, forward: nat, servers: [
      {address: 192.168.100.21:5353}, {address: 192.168.100.22:5353}]}
  - {name: tun-udp, address: 172.16.0.103:53, protocol: udp, scheduler: rr, forward: tun, servers: [
      {address: 10.20.0.31}, {address: 10.20.0.32}]}
";

/// The services, one for each forwarding method.
#[must_use]
pub fn targets() -> Vec<Target> {
    [("dr", 101), ("nat", 102), ("tun", 103)]
        .into_iter()
        .map(|(name, last)| Target {
            name,
            tcp: ([172, 16, 0, last], 80).into(),
            udp: ([172, 16, 0, last], 53).into(),
        })
        .collect()
}

/// The machines. Each service has three servers, of which the configuration names two. What
/// passes the tunnel fits into it.
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
}
