//! A client, a director and its servers, wired by veth pairs: a lane that packets are sent down.
//!
//! ```text
//!  client eth0 ──── eth0 director eth1 ──── eth0 servers
//!    sink                                      sink
//! ```
//!
//! Neither client nor servers have a network stack to speak of: the feed sends from one end,
//! the program `sink` counts at the other. All neighbours are known for good, so that nothing
//! waits for ARP, and no question of ARP is counted.

use std::{net::Ipv4Addr, os::fd::AsFd, sync::Arc};

use anyhow::{Context, Result};
use lb_lab::{
    namespace::{Namespace, unique_prefix},
    offload,
    xdp::{self, Attached},
};
use lb_tests::packets::VIP;
use nix::net::if_::if_nametoindex;

use crate::feed::Feed;

/// The servers: two addresses of one machine, which directors take for two servers.
pub const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 2, 0, 11), Ipv4Addr::new(10, 2, 0, 12)];
/// The first address of the clients' network, which is behind the client's end of the lane.
pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 0);

/// The director's interface to the client.
pub const OUTER: &str = "eth0";
/// The director's interface to the servers.
pub const INNER: &str = "eth1";
const END: &str = "eth0";

/// A lane. Dropping it removes its namespaces.
#[derive(Debug)]
pub struct Lane {
    /// The end that clients send from.
    pub client: End,
    /// The end that servers send from.
    pub server: End,
    /// The director's machine.
    pub director: Arc<Namespace>,
    /// What the names of its namespaces begin with.
    pub prefix: String,
    _sinks: [Attached; 2],
}

/// An end of a lane.
#[derive(Debug)]
pub struct End {
    /// Its machine.
    pub namespace: Namespace,
    /// The index of its interface.
    pub interface: u32,
    /// The MAC address of its interface.
    pub mac: [u8; 6],
    /// The MAC address of the director's interface that it is connected to.
    pub director: [u8; 6],
}

impl Lane {
    /// Makes a lane, whose director holds the VIP and does nothing else yet.
    pub fn lay(feed: &Feed) -> Result<Self> {
        let prefix = unique_prefix();
        let namespace = |role: &str| Namespace::create(&format!("{prefix}-{role}"));
        let (client, server) = (namespace("client")?, namespace("server")?);
        let director = namespace("director")?;
        director.ip([
            format!(
                "link add {OUTER} type veth peer name {END} netns {}",
                client.name()
            ),
            format!(
                "link add {INNER} type veth peer name {END} netns {}",
                server.name()
            ),
        ])?;
        for interface in [OUTER, INNER] {
            offload::disable(&director, interface)?;
        }
        let sink = feed.program("sink")?.fd()?.as_fd();
        let mut sinks = Vec::new();
        for end in [&client, &server] {
            end.ip([format!("link set {END} up")])?;
            sinks.push(xdp::attach_program(end, END, sink)?);
        }
        let lane = Self {
            client: End::of(client, &director, OUTER)?,
            server: End::of(server, &director, INNER)?,
            director: Arc::new(director),
            prefix,
            _sinks: sinks.try_into().ok().context("a sink at each end")?,
        };
        lane.address()?;
        Ok(lane)
    }

    /// Gives the director addresses, routes and neighbours.
    fn address(&self) -> Result<()> {
        const CLIENT: &str = "10.0.0.1";
        let mac = |end: &End| end.mac.map(|byte| format!("{byte:02x}")).join(":");
        let neighbours = SERVERS.map(|server| {
            let mac = mac(&self.server);
            format!("neighbour add {server} lladdr {mac} dev {INNER} nud permanent")
        });
        self.director.sysctls(&[("ipv4/ip_forward", "1")])?;
        self.director.ip([
            format!("address add {VIP}/32 dev lo"),
            format!("address add 10.0.0.254/24 dev {OUTER}"),
            format!("address add 10.2.0.254/24 dev {INNER}"),
            format!("link set {OUTER} up"),
            format!("link set {INNER} up"),
            format!("route add {CLIENTS}/16 via {CLIENT}"),
            format!(
                "neighbour add {CLIENT} lladdr {} dev {OUTER} nud permanent",
                mac(&self.client)
            ),
        ])?;
        self.director.ip(neighbours)
    }

    /// The index of an interface of the director.
    pub fn index(&self, interface: &str) -> Result<u32> {
        self.director.inside(|| Ok(if_nametoindex(interface)?))
    }
}

impl End {
    fn of(namespace: Namespace, director: &Namespace, interface: &str) -> Result<Self> {
        Ok(Self {
            interface: namespace.inside(|| Ok(if_nametoindex(END)?))?,
            mac: namespace.mac(END)?,
            director: director.mac(interface)?,
            namespace,
        })
    }
}
