//! What a daemon that starts goes on with: what its file says, or what the director does.
//!
//! Live edits stand in the maps and not in the file. So the daemon notes which file the director
//! did last, by a checksum; as long as the file is the same, nobody asked for anything else than
//! what is live, or what was being applied when the last daemon died. A file that was changed,
//! or that was being applied itself, is applied.

use std::{collections::HashMap, net::Ipv4Addr};

use anyhow::Result;
use lb_dataplane::Dataplane;
use lb_network::{Hop, Interface, Reach, Routing};

use super::{RunOptions, bridge, state::Director};
use crate::{config, desired::Desired, plan::plan};

/// What a daemon is to do when it starts.
pub enum Course {
    /// What its file says.
    File,
    /// What the last one was about to do.
    Begun(Desired),
    /// What the director does already.
    Live,
}

impl Course {
    /// Of a daemon's director, of which it is `known` or not what it does.
    pub fn of(options: &RunOptions, director: &Director, known: bool) -> Self {
        let file = options.config.display();
        let unchanged = director.dataplane.file() == options.checksum;
        if !known || !unchanged {
            // Before it is noted that the file was done.
            director.journal.end();
            return Self::File;
        }
        let Some(begun) = director.journal.read() else {
            return Self::Live;
        };
        match config::parse(&begun.text, &begun.name) {
            Ok(desired) => {
                tracing::warn!("finishing to apply what the last daemon had begun to");
                Self::Begun(desired.with_interfaces(&options.interfaces))
            }
            Err(error) => {
                tracing::error!("what was begun cannot be finished; applying {file}: {error}");
                director.journal.end();
                Self::File
            }
        }
    }
}

/// What the director does already, where a daemon finds one whose maps make sense. Of services
/// that `desired` has, too, the order is the same.
pub async fn live(
    dataplane: &Dataplane,
    routing: &Routing,
    desired: &Desired,
) -> Result<Option<Desired>> {
    if !dataplane.adopted() {
        return Ok(None);
    }
    let mut services: Vec<_> = match dataplane.read_back() {
        Ok(services) => services.iter().filter_map(bridge::from_model).collect(),
        Err(error) => {
            tracing::error!("{error:#}: what was edited live is lost");
            return Ok(None);
        }
    };
    let places = desired.services.iter().enumerate();
    let places: HashMap<_, _> = places.map(|(place, service)| (service.id, place)).collect();
    services.sort_by_key(|service| places.get(&service.id).copied().unwrap_or(usize::MAX));

    let attached = dataplane.handled()?;
    let mut interfaces = routing.interfaces().await?;
    interfaces.retain(|interface| attached.contains(&interface.index));
    let names: Vec<_> = interfaces
        .into_iter()
        .map(|interface| interface.name)
        .collect();
    Ok(Some(Desired {
        services,
        timeouts: bridge::from_timeouts(dataplane.timeouts()),
        ..desired.clone().with_interfaces(&names)
    }))
}

/// Tells what stays that the file does not say.
pub fn tell(options: &RunOptions, desired: &Desired, live: &Desired) {
    let changes = plan(desired, live).lines().len();
    if changes > 0 {
        tracing::info!(
            "{} is as it was: {changes} changes that were made live since it was applied stay",
            options.config.display()
        );
    }
}

/// How servers that do not answer now were reached before, as far as the packet path knows. It
/// goes on sending there, as under a daemon that had been running all the time.
pub fn remembered(
    dataplane: &Dataplane,
    interfaces: &[Interface],
    found: &[(Ipv4Addr, Reach)],
) -> Vec<(Ipv4Addr, Reach)> {
    let hop = |(address, reach): &(Ipv4Addr, Reach)| {
        let Reach::Unresolved {
            interface,
            next_hop,
        } = reach
        else {
            return None;
        };
        let interface = interfaces.iter().find(|known| known.name == *interface)?;
        let last = dataplane.next_hop((*address).into(), interface.index)?;
        let hop = Hop {
            interface: interface.index,
            interface_name: interface.name.clone(),
            kind: interface.kind.clone(),
            source_mac: interface.mac,
            next_hop_mac: last.next_hop_mac,
            mtu: last.mtu,
            source: last.source,
            next_hop: *next_hop,
        };
        Some((*address, Reach::Hop(hop)))
    };
    found.iter().filter_map(hop).collect()
}

/// The checksum of the daemon's file as it is now.
pub fn own_checksum(options: &RunOptions) -> Option<u32> {
    let own = config::read(options.file()?).ok()?;
    Some(config::checksum(own.text.as_bytes()))
}
