//! This machine's interfaces: those whose packets are handled, and all that packets can leave by.

use anyhow::Result;

use crate::{Dataplane, life::Mode, next_hop::Interface};

impl Dataplane {
    /// Makes the packet path handle an interface's packets.
    pub fn attach(&mut self, name: &str, index: u32, mode: Mode) -> Result<()> {
        self.life.attach(name, index, mode)
    }

    /// Stops handling an interface's packets.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        self.life.detach(index)
    }

    /// The interfaces that the packet path handles, by index.
    pub fn attached(&self) -> Result<Vec<u32>> {
        self.life.links().interfaces()
    }

    /// Those whose links are alive: the packet path sees their packets.
    pub fn handled(&self) -> Result<Vec<u32>> {
        self.life.links().alive()
    }

    /// Tells the packet path this machine's Ethernet interfaces, all of them.
    pub fn set_interfaces(&self, interfaces: &[Interface]) {
        self.interfaces.set(interfaces);
    }

    /// Says that routes or neighbours have changed: replies look up their way anew.
    pub fn routes_changed(&self) {
        self.settings.next_epoch();
    }
}
