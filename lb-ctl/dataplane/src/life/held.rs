//! The pinned maps, held open: a pin that somebody removes is made again, and the next daemon
//! finds all maps.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use aya::maps::MapData;

use super::{load, pins::Pins, room};
use crate::crash::{self, Step};

/// All pinned maps of a packet path.
#[derive(Default)]
pub struct Held(Vec<Pinned>);

struct Pinned {
    /// In the folder of pins.
    path: PathBuf,
    map: MapData,
    id: u32,
}

impl Held {
    /// Opens the maps of a packet path in this room.
    pub fn open(pins: &Pins, number: u32) -> Result<Self> {
        let folder = pins.room(number);
        let folder = PathBuf::from(folder.file_name().unwrap_or_default());
        let shared = load::MAPS.iter().chain(&["settings"]);
        let shared = shared.map(PathBuf::from);
        let names = shared.chain(room::MAPS.iter().map(|name| folder.join(name)));
        let held = names.map(|name| {
            let path = pins.map(&name);
            let map = MapData::from_pin(&path)
                .with_context(|| format!("cannot open the pinned map {}", path.display()))?;
            let id = map.info()?.id();
            Ok(Pinned {
                path: name,
                map,
                id,
            })
        });
        held.collect::<Result<_>>().map(Self)
    }

    /// Pins maps again whose pins are gone.
    pub fn repair(&self, pins: &Pins) -> Result<()> {
        for Pinned { path, map, id } in &self.0 {
            let path = &pins.map(path);
            let there = MapData::from_pin(path).and_then(|map| map.info());
            if there.is_ok_and(|info| info.id() == *id) {
                continue;
            }
            pins.prepare()?;
            if let Some(folder) = path.parent() {
                pins.make_room(folder)?;
            }
            if path.exists() {
                fs::remove_file(path)?;
            }
            map.pin(path)
                .with_context(|| format!("cannot pin {} again", path.display()))?;
            crash::after(Step::PinRepaired);
            tracing::warn!("the pin {} was gone: pinned again", path.display());
        }
        Ok(())
    }
}
