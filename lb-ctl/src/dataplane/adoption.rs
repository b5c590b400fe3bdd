//! Whether what an earlier daemon left can be taken over.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Map, MapData};
use lb_common::layout::{LAYOUT, Settings};

use super::{Parts, pins::Pins};

/// The settings of the packet path that is pinned, or `None` where there is none. One that was
/// never finished is cleared away.
pub fn adoptable(pins: &Pins) -> Result<Option<Settings>> {
    let path = pins.map("settings");
    let layout = match path.exists() {
        false => 0,
        true => {
            let map = Map::Array(
                MapData::from_pin(&path)
                    .with_context(|| format!("cannot open the pinned map {}", path.display()))?,
            );
            match Parts::of(&map) {
                Ok(parts) => match parts.settings.read(0).unwrap_or_default() {
                    settings if settings.layout == LAYOUT => return Ok(Some(settings)),
                    settings => settings.layout,
                },
                Err(_) => u32::MAX,
            }
        }
    };
    if layout != 0 {
        bail!(
            "what is pinned at {} has {}, and this lb-ctl speaks layout {LAYOUT}: it cannot adopt \
             it. Forwarding goes on as it is. Use the lb-ctl that made it, or end it with \
             `lb-ctl detach` (its connections are lost) and start again",
            pins.map("").display(),
            if layout == u32::MAX {
                "an unknown layout".to_owned()
            } else {
                format!("layout {layout}")
            }
        );
    }
    pins.remove()?;
    pins.prepare()?;
    Ok(None)
}

/// How many servers the room in this folder has places for.
pub fn servers(folder: &Path) -> Result<u32> {
    let path = folder.join("servers");
    let map = MapData::from_pin(&path)
        .with_context(|| format!("cannot open the pinned map {}", path.display()))?;
    Ok(map.info()?.max_entries())
}
