//! Noticing what somebody changed behind the daemon's back, and undoing it.
//!
//! A part of everything is compared ten times a second, so that nobody notices that it is.
//! What packets change (connections, counts, where schedulers stand) is theirs.

use std::{ops::Range, path::PathBuf};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use lb_common::layout::INTERFACES;

use crate::crash::{self, Step};

use super::{Dataplane, loading, program, room};

/// A tenth of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part(u32);

impl Part {
    /// How many there are.
    pub const ALL: u32 = 10;

    /// The one after this.
    pub fn next(self) -> Self {
        Self((self.0 + 1) % Self::ALL)
    }

    /// True for the first one.
    pub fn is_first(self) -> bool {
        self.0 == 0
    }

    /// Of so many entries, those that belong to this part.
    pub fn of(self, entries: u32) -> Range<u32> {
        let border = |part| (u64::from(entries) * u64::from(part) / u64::from(Self::ALL)) as u32;
        border(self.0)..border(self.0 + 1)
    }
}

/// Repairs that are told one by one when there are many.
const TOLD: usize = 10;

/// A map, and where it is pinned.
pub struct Pinned {
    path: PathBuf,
    map: MapData,
    id: u32,
}

/// Logs what was repaired.
pub(super) fn tell(repaired: &[String]) {
    for what in repaired.iter().take(TOLD) {
        tracing::warn!("behind the daemon's back, {what}: repaired");
    }
    if repaired.len() > TOLD {
        let others = repaired.len() - TOLD;
        tracing::warn!("and {others} more entries of maps: repaired");
    }
}

impl Dataplane {
    /// In how many calls of [`audit`](Self::audit) all maps are looked through.
    pub const AUDITS: u32 = Part::ALL;

    /// Looks through the next part of the maps, and repairs and logs what somebody else has
    /// changed.
    pub fn audit(&mut self) -> Result<()> {
        let part = self.part;
        self.part = part.next();
        self.repair_maps(part)
    }

    /// True if the next call of [`audit`](Self::audit) begins anew.
    pub fn audit_begins(&self) -> bool {
        self.part.is_first()
    }

    fn repair_maps(&mut self, part: Part) -> Result<()> {
        let mut repaired = self.services.repair(part)?;
        repaired.extend(self.repair_settings());
        for place in self.interfaces.repair(part.of(INTERFACES)) {
            repaired.push(format!(
                "the interface at place {place} was changed in the map `settings`"
            ));
        }
        tell(&repaired);
        Ok(())
    }

    /// Repairs the settings.
    pub(super) fn repair_settings(&self) -> Vec<String> {
        let changed = self.settings.repair(0..1).into_iter();
        changed
            .map(|_| "the settings were changed in the map `settings`".to_owned())
            .collect()
    }

    /// Sees to it that the link to an interface is alive. An error says that the program must be
    /// attached anew.
    pub fn repair_link(&mut self, name: &str, index: u32) -> Result<()> {
        let program = program(&mut self.ebpf, "director")?;
        if let Some(wrong) = self.links.repair(program, index)? {
            tracing::warn!(
                "{name}: the link was changed behind the daemon's back ({wrong}): repaired"
            );
        }
        Ok(())
    }

    /// Pins maps again whose pins are gone, lest the next daemon find nothing to adopt.
    pub fn repair_pins(&self) -> Result<()> {
        for pinned in &self.pinned {
            let there = MapData::from_pin(&pinned.path).and_then(|map| map.info());
            if there.is_ok_and(|info| info.id() == pinned.id) {
                continue;
            }
            self.pins.prepare()?;
            self.pins.make_room(&self.pins.room(self.room))?;
            if pinned.path.exists() {
                std::fs::remove_file(&pinned.path)?;
            }
            pinned
                .map
                .pin(&pinned.path)
                .with_context(|| format!("cannot pin {} again", pinned.path.display()))?;
            crash::after(Step::PinRepaired);
            tracing::warn!("the pin {} was gone: pinned again", pinned.path.display());
        }
        Ok(())
    }

    /// Opens all maps that are pinned.
    pub(super) fn hold_pinned_maps(&mut self) -> Result<()> {
        let room = self.pins.room(self.room);
        let shared = loading::MAPS.iter().chain(&["settings"]);
        let shared = shared.map(|name| self.pins.map(name));
        let paths = shared.chain(room::MAPS.iter().map(|name| room.join(name)));
        self.pinned = paths
            .map(|path| {
                let map = MapData::from_pin(&path)
                    .with_context(|| format!("cannot open the pinned map {}", path.display()))?;
                let id = map.info()?.id();
                Ok(Pinned { path, map, id })
            })
            .collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        for entries in [0, 1, 9, 10, 65_536, u32::MAX] {
            let (mut part, mut end) = (Part::default(), 0);
            for _ in 0..Part::ALL {
                let range = part.of(entries);
                assert_eq!(range.start, end);
                (part, end) = (part.next(), range.end);
            }
            assert_eq!((part, end), (Part::default(), entries));
        }
    }
}
