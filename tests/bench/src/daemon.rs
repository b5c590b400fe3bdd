//! Feeds packets to the program of a running daemon, without a wire.
//!
//! The packets of [`Feed`] fill the daemon's own connection table by the same code as packets from
//! an interface.

use std::{net::SocketAddrV4, ops::Range};

use anyhow::{Context, Result, ensure};
use aya::{
    maps::{Map, MapData},
    programs::loaded_programs,
};
use lb_common::layout::interface::Interface;
use lb_dataplane::raw::Parts;
use lb_tests::{
    director::Director,
    packets::{ACK, DIRECTOR, Packet, SYN},
};

use super::feed::{Feed, Run, Target, Template};

/// The interface that fed packets seem to come in by: `lo`.
const INGRESS: u32 = 1;

/// A feed for a daemon's program: the one that is attached to this interface now.
pub fn feed(director: &Director, interface: &str) -> Result<Feed> {
    let id = director.program(interface)?;
    let program = loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .with_context(|| format!("the kernel has no program {id}"))?;
    let mut feed = Feed::load()?;
    feed.aim(&program.fd()?)?;
    // `lo` is not among the director's interfaces, and the program ignores frames to others' MAC
    // addresses.
    let path = director.pins().join("settings");
    let map = MapData::from_pin(&path).with_context(|| format!("open {}", path.display()))?;
    let parts = Parts::of(&Map::Array(map))?;
    let interface = Interface {
        index: INGRESS,
        mac: DIRECTOR,
        mtu: 1500,
        ..Interface::default()
    };
    parts.interfaces.write(INGRESS, interface);
    Ok(feed)
}

/// Connections of clients to a TCP service. Each has a number.
#[derive(Clone, Debug)]
pub struct Clients {
    syn: Template,
    ack: Template,
}

impl Clients {
    /// The first has this source. The others have higher ports, and then higher addresses.
    #[must_use]
    pub fn new(from: SocketAddrV4, service: SocketAddrV4) -> Self {
        let template = |flags| Template::by_source(Packet::tcp(from, service, flags).frame());
        Self {
            syn: template(SYN),
            ack: template(ACK),
        }
    }

    /// Opens these connections, up to the state ESTABLISHED.
    pub fn open(&self, feed: &mut Feed, flows: Range<u32>) -> Result<()> {
        for template in [&self.syn, &self.ack] {
            feed.prepare(template, Target::Director, flows.clone())?;
            forwarded(feed.run(flows.len() as u32)?)?;
        }
        Ok(())
    }

    /// The program's time for each packet of open connections, in nanoseconds.
    pub fn sample(&self, feed: &mut Feed, flows: Range<u32>, packets: u32) -> Result<f64> {
        feed.prepare(&self.ack, Target::Empty, flows.clone())?;
        let fed = feed.run(packets)?;
        feed.prepare(&self.ack, Target::Director, flows)?;
        let worked = feed.run(packets)?;
        forwarded(worked)?;
        Ok(worked.per_packet - fed.per_packet)
    }
}

/// Checks that packets were redirected: the servers are not behind `lo`.
fn forwarded(run: Run) -> Result<()> {
    const REDIRECT: u32 = 4;
    ensure!(
        run.action == REDIRECT,
        "the director's program answered XDP action {} to a fed packet",
        run.action
    );
    Ok(())
}
