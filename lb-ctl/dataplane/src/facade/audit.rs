//! Whether maps, pins and links are still as the daemon made them.

use anyhow::Result;

use crate::{
    Dataplane, LinkError,
    audit::{self, Part},
};

impl Dataplane {
    /// In how many calls of [`audit`](Self::audit) all maps are looked through.
    pub const AUDITS: u32 = Part::ALL;

    /// Looks through the next part of the maps, and repairs and logs what somebody else has
    /// changed.
    pub fn audit(&mut self) -> Result<()> {
        let part = self.part;
        self.part = part.next();
        let mut repaired = self.view.tables.repair(part)?;
        repaired.extend(self.view.settings.repair());
        repaired.extend(self.interfaces.repair(part)?);
        audit::tell(&repaired);
        Ok(())
    }

    /// True if the next call of [`audit`](Self::audit) begins anew.
    pub fn audit_begins(&self) -> bool {
        self.part.is_first()
    }

    /// Pins maps again whose pins are gone: the next daemon needs them to adopt the maps.
    pub fn repair_pins(&mut self) -> Result<()> {
        self.life.repair_pins()
    }

    /// Sees to it that the link to an interface is alive, pinned, and has this program.
    pub fn repair_link(&mut self, name: &str, index: u32) -> Result<(), LinkError> {
        self.life.repair_link(name, index)
    }
}
