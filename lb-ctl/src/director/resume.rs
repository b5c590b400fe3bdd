//! What a daemon that starts goes on with: what its file says, or what the director does.
//!
//! Live edits stand in the maps and not in the file. So the daemon notes which file the director
//! did last, by a checksum; as long as the file is the same, nobody asked for anything else than
//! what is live. A file that was changed, or one whose application was interrupted, is applied.

use std::{collections::HashMap, net::Ipv4Addr};

use anyhow::Result;

use super::RunOptions;
use crate::{
    config,
    dataplane::Dataplane,
    desired::Desired,
    plan::plan,
    routing::{Port, Reach, Routing},
};

/// What the director does, where that is to go on: where the daemon's file, which asks for
/// `desired`, did not change.
pub async fn live(
    options: &RunOptions,
    dataplane: &Dataplane,
    routing: &Routing,
    desired: &Desired,
) -> Result<Option<Desired>> {
    if !dataplane.adopted() || dataplane.settings().file != options.checksum {
        return Ok(None);
    }
    let mut services = match dataplane.services.all() {
        Ok(services) => services,
        Err(error) => {
            tracing::error!("{error:#}: applying {} again", options.config.display());
            return Ok(None);
        }
    };
    // In the file's order; what is not there, was added later.
    let places = desired.services.iter().enumerate();
    let places: HashMap<_, _> = places.map(|(place, service)| (service.id, place)).collect();
    services.sort_by_key(|service| places.get(&service.id).copied().unwrap_or(usize::MAX));

    let attached = dataplane.handled()?;
    let mut interfaces = routing.ports().await?;
    interfaces.retain(|port| attached.contains(&port.interface));
    let names: Vec<_> = interfaces.into_iter().map(|port| port.name).collect();
    let live = Desired {
        services,
        timeouts: dataplane.timeouts(),
        ..desired.clone().with_interfaces(&names)
    };
    let changes = plan(desired, &live).lines().len();
    if changes > 0 {
        tracing::info!(
            "{} is as it was: {changes} changes that were made live since it was applied stay",
            options.config.display()
        );
    }
    Ok(Some(live))
}

/// How servers that do not answer now were reached before, as far as the packet path knows. It
/// goes on sending there, as under a daemon that had been running all the time.
pub fn remembered(
    dataplane: &Dataplane,
    ports: &[Port],
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
        let port = ports.iter().find(|port| port.name == *interface)?;
        let hop = dataplane.services.servers.hop(*address, port, *next_hop)?;
        Some((*address, Reach::Hop(hop)))
    };
    found.iter().filter_map(hop).collect()
}

/// The checksum of the daemon's file as it is now.
pub fn own_checksum(options: &RunOptions) -> Option<u32> {
    let own = config::read(options.file()?).ok()?;
    Some(config::checksum(own.text.as_bytes()))
}
