//! What the daemon answers to IPVS's users.

mod judge;
pub mod listing;

use std::ops::Range;

use super::{
    bridge,
    state::{Director, OwnAddress},
};
use crate::{
    api,
    edit::Draft,
    ipvs::{Change, Refusal, Reply},
};

/// What is answered to changes.
pub fn judged(refused: Vec<(usize, Refusal)>) -> api::Reply {
    api::Reply::Ipvs(Reply::Judged(refused))
}

/// Makes changes all at once; where the packet path cannot do them, a half at a time, so that
/// only those are refused that it cannot do. Gives the place of each that was refused.
pub fn change(director: &mut Director, changes: &[Change]) -> Vec<(usize, Refusal)> {
    let mut refused = Vec::new();
    let mut found = 0;
    let all: Range<usize> = 0..changes.len();
    let mut parts = vec![all];
    while let Some(part) = parts.pop() {
        match attempt(director, &changes[part.clone()]) {
            Ok(judged) => {
                refused.extend(
                    judged
                        .into_iter()
                        .map(|(place, why)| (part.start + place, why)),
                );
            }
            Err(error) if part.len() == 1 || found == SOUGHT => {
                tracing::warn!("ipvsadm: {} changes are not made: {error:#}", part.len());
                let why = if error.is::<OwnAddress>() {
                    Refusal::Invalid
                } else {
                    Refusal::NoMemory
                };
                refused.extend(part.map(|place| (place, why)));
                found += 1;
            }
            Err(_) => {
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
            }
        }
    }
    refused
}

/// So many changes that the packet path cannot do are sought among those that it can: when it
/// has room for no more at all, nobody else should have to wait.
const SOUGHT: usize = 100;

/// All of these or none of them.
fn attempt(director: &mut Director, changes: &[Change]) -> anyhow::Result<Vec<(usize, Refusal)>> {
    let before = director.desired.clone();
    let mut draft = if changes.len() < FEW {
        Draft::of(before)
    } else {
        Draft::indexed(before)
    };
    let mut refused = Vec::new();
    let mut zeroed = Vec::new();
    for (place, change) in changes.iter().enumerate() {
        match judge::make(&mut draft, change) {
            Ok(services) => zeroed.extend(services),
            Err(refusal) => refused.push((place, refusal)),
        }
    }
    let desired = draft.finish();
    let timeouts = desired.timeouts;
    director.edit(desired)?;
    director.dataplane.set_timeouts(&bridge::timeouts(timeouts));
    zeroed.sort_unstable();
    zeroed.dedup();
    let zeroed: Vec<_> = zeroed.into_iter().map(bridge::id).collect();
    director.dataplane.zero(&zeroed);
    Ok(refused)
}

/// For fewer changes, an index costs more than it saves.
const FEW: usize = 8;
