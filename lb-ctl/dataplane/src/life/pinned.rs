//! The maps that are pinned, opened to be looked at while no daemon runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Map, MapData, MapType};
use lb_common::layout::{LAYOUT, Settings};

use super::{
    pins::Pins,
    room::{self, RoomMaps},
};
use crate::{
    kernel::{bpffs::Bpffs, namespace},
    maps::variable::Parts,
};

/// The pinned maps of an instance.
pub struct Pinned {
    pins: Pins,
    room: PathBuf,
    namespace: u32,
}

impl Pinned {
    /// Those of this instance; `None` if there are none.
    pub fn of(instance: &str) -> Result<Option<Self>> {
        let pins = Pins::of(instance, Bpffs::find());
        if !pins.map("settings").exists() {
            return Ok(None);
        }
        let rooms = pins.rooms()?;
        let number = rooms.last().copied().unwrap_or(room::FIRST);
        let settings = Parts::of(&open(&pins.map("settings"))?)?.settings;
        let Settings {
            layout, namespace, ..
        } = settings.read(0).unwrap_or_default();
        if layout != LAYOUT {
            bail!(
                "what is pinned at {} has layout {layout}, and this lb-ctl reads layout {LAYOUT}: \
                 use the lb-ctl that made it",
                pins.map("").display()
            );
        }
        Ok(Some(Self {
            room: pins.room(number),
            pins,
            namespace,
        }))
    }

    /// True if this process is in another network namespace than the packet path was made in.
    pub fn is_elsewhere(&self) -> Result<bool> {
        // One of an earlier version does not say.
        Ok(![0, namespace::current()?].contains(&self.namespace))
    }

    /// A map that all rooms share.
    pub fn map(&self, name: &str) -> Result<Map> {
        open(&self.pins.map(name))
    }

    /// The maps of the room.
    pub fn room(&self) -> Result<RoomMaps> {
        RoomMaps::seen(|name| open(&self.room.join(name)))
    }
}

fn open(path: &Path) -> Result<Map> {
    let data = MapData::from_pin(path).with_context(|| {
        format!(
            "cannot open the pinned map {} (are you root?)",
            path.display()
        )
    })?;
    Ok(match data.info()?.map_type()? {
        MapType::Array => Map::Array(data),
        MapType::Hash => Map::HashMap(data),
        MapType::PerCpuArray => Map::PerCpuArray(data),
        other => bail!(
            "the map {} is of an unknown kind: {other:?}",
            path.display()
        ),
    })
}
