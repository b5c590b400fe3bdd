//! This machine's interfaces: those whose packets are handled, and all that packets can leave by.

use std::net::Ipv4Addr;

use anyhow::Result;
use lb_common::layout::interface::ClientHop;

use crate::{Dataplane, encode, life::Mode, next_hop::Interface};

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

    /// Tells the packet path this machine's Ethernet interfaces, all of them. Gives those that it
    /// has no place for: no reply can leave by them.
    pub fn set_interfaces(&mut self, interfaces: &[Interface]) -> Result<Vec<Interface>> {
        self.interfaces.set(interfaces)
    }

    /// Tells the packet path which addresses no client can have, besides VIPs: this machine's own
    /// and the broadcast addresses of its networks.
    pub fn set_own_addresses(&mut self, addresses: &[Ipv4Addr]) -> Result<()> {
        let wire = addresses
            .iter()
            .map(|address| encode::wire((*address).into()));
        self.view.tables.set_own(wire.collect::<Result<_, _>>()?)
    }

    /// Says that routes or neighbours have changed: replies look up their way anew.
    pub fn routes_changed(&self) {
        self.view.settings.next_epoch();
    }

    /// The next hops that replies of NAT servers go to: interface's index, and address.
    pub fn client_hops(&self) -> Result<Vec<(u32, Ipv4Addr)>> {
        let hops = self.hops.all()?.into_iter();
        Ok(hops
            .map(|hop| (hop.interface, encode::address(hop.address)))
            .collect())
    }

    /// Forgets one of them, until a reply goes there again.
    pub fn forget_client_hop(&mut self, interface: u32, address: Ipv4Addr) -> Result<()> {
        let address = encode::wire(address.into())?;
        self.hops.forget(&ClientHop { interface, address })
    }
}
