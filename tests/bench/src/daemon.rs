//! The program of a daemon that runs, fed without a wire.
//!
//! What [`Feed`] hands to it fills the daemon's own connection table, through the same code
//! as packets from an interface.

use std::{net::SocketAddrV4, ops::Range};

use anyhow::{Context, Result, ensure};
use aya::{
    maps::{Map, MapData},
    programs::loaded_programs,
};
use lb_common::layout::Interface;
use lb_ctl::dataplane::Parts;
use lb_tests::{
    director::Director,
    packets::{ACK, DIRECTOR, Packet, SYN},
};

use super::feed::{Feed, Run, Target, Template};

/// Fed packets seem to come in by `lo`.
const INGRESS: u32 = 1;

/// A feed that is aimed at a daemon's program, as it is attached to an interface now.
pub fn feed(director: &Director, interface: &str) -> Result<Feed> {
    let id = director.program(interface)?;
    let program = loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .with_context(|| format!("the kernel has no program {id}"))?;
    let mut feed = Feed::load()?;
    feed.aim(&program.fd()?)?;
    // `lo` is no interface of the director's, and frames to others' MAC addresses are not for it.
    let path = director.pins().join("settings");
    let map = MapData::from_pin(&path).with_context(|| format!("open {}", path.display()))?;
    let parts = Parts::of(&Map::Array(map))?;
    let interface = Interface {
        index: INGRESS,
        mac: DIRECTOR,
        ..Interface::default()
    };
    parts.interfaces.write(INGRESS, interface);
    Ok(feed)
}

/// Clients' connections to a TCP service, by number.
#[derive(Clone, Debug)]
pub struct Clients {
    syn: Template,
    ack: Template,
}

impl Clients {
    /// The first comes from `from`; the others have ports above it, and then addresses.
    #[must_use]
    pub fn new(from: SocketAddrV4, service: SocketAddrV4) -> Self {
        let template = |flags| Template::by_source(Packet::tcp(from, service, flags).frame());
        Self {
            syn: template(SYN),
            ack: template(ACK),
        }
    }

    /// Opens these connections: afterwards they are established.
    pub fn open(&self, feed: &mut Feed, flows: Range<u32>) -> Result<()> {
        for template in [&self.syn, &self.ack] {
            feed.prepare(template, Target::Director, flows.clone())?;
            forwarded(feed.run(flows.len() as u32)?)?;
        }
        Ok(())
    }

    /// What the program takes for each packet of connections that are open, in nanoseconds.
    pub fn sample(&self, feed: &mut Feed, flows: Range<u32>, packets: u32) -> Result<f64> {
        feed.prepare(&self.ack, Target::Empty, flows.clone())?;
        let fed = feed.run(packets)?;
        feed.prepare(&self.ack, Target::Director, flows)?;
        let worked = feed.run(packets)?;
        forwarded(worked)?;
        Ok(worked.per_packet - fed.per_packet)
    }
}

/// Servers are behind another interface than `lo`.
fn forwarded(run: Run) -> Result<()> {
    const REDIRECT: u32 = 4;
    ensure!(
        run.action == REDIRECT,
        "the director's program answered XDP action {} to a fed packet",
        run.action
    );
    Ok(())
}
