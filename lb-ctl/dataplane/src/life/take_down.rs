//! Taking a packet path down.

use std::path::PathBuf;

use anyhow::Result;

use super::{links, pins::Pins};

/// Detaches all links, then removes every pin; gives what was there.
pub fn take_down(pins: &Pins) -> Result<Vec<PathBuf>> {
    let links = pins.links()?.into_iter().map(|(_, path)| path);
    let mut removed: Vec<_> = links.collect();
    for link in &removed {
        links::end(link)?;
    }
    removed.extend(pins.remove_maps()?);
    Ok(removed)
}
