//! Services, their servers, and how these are reached.

use std::{iter, net::IpAddr};

use anyhow::Result;
use lb_model::{Service, ServiceId};

use crate::{
    Dataplane, View,
    crash::{self, Step},
    life::{self, room},
    maps::rosters::NoLines,
    next_hop::{Hop, NextHop},
};

impl Dataplane {
    /// Makes a service what it should be: packets see the old servers or the new ones, whole.
    /// Nothing is written that is there already, and no other service is looked at.
    pub fn put(&mut self, service: &Service, next_hop: impl Fn(IpAddr) -> NextHop) -> Result<()> {
        self.make_room(iter::once(service))?;
        match self.view.tables.put(service, &next_hop) {
            // Free lines are in pieces that are too small.
            Err(error) if error.is::<NoLines>() => {
                self.grow(self.view.tables.size())?;
                self.view.tables.put(service, &next_hop)
            }
            outcome => outcome,
        }
    }

    /// Removes a service. Its connections stay in the table until they expire, and their
    /// packets are dropped, as in IPVS.
    pub fn remove(&mut self, service: ServiceId) -> Result<()> {
        self.view.tables.remove(service)
    }

    /// Makes sure that there is room for these services. [`put`](Self::put) does so for one
    /// service. If there are many, it is better done for all at once: then the packet path
    /// moves to a larger room once, and if there is no memory, nothing has been changed yet.
    pub fn make_room<'a>(&mut self, services: impl Iterator<Item = &'a Service>) -> Result<()> {
        match self.view.tables.lacks(services)? {
            Some(needed) => self.grow(needed),
            None => Ok(()),
        }
    }

    fn grow(&mut self, needed: room::Size) -> Result<()> {
        let before = self.view.tables.size();
        let size = life::larger(needed, before)?;
        let copy = |maps| self.view.tables.copied_to(maps);
        let (room, larger) = self.life.furnish(size, &self.view.settings.get(), copy)?;
        self.life.enter(room)?;
        self.view.tables.move_to(larger);
        crash::after(Step::CountCarried);
        self.life.leave_earlier_rooms()?;
        tracing::info!(
            "there is room for {} servers now, after {}",
            size.places,
            before.places
        );
        Ok(())
    }

    /// Frees what removed servers still occupy, if no connection refers to them. True if there
    /// were any.
    pub fn forget_unused(&mut self) -> bool {
        self.view.tables.forget_unused()
    }

    /// Changes the next hop of all servers with this address.
    pub fn set_next_hop(&self, address: IpAddr, next_hop: &NextHop) {
        self.view.tables.servers().set_next_hop(address, next_hop);
    }

    /// The next hop that packets take to a server with this address, if they leave by this
    /// interface.
    pub fn next_hop(&self, address: IpAddr, interface: u32) -> Option<Hop> {
        self.view.tables.servers().hop(address, interface)
    }

    /// True if a server has this address, or if a removed one had to which connections refer.
    pub fn has_server_at(&self, address: IpAddr) -> bool {
        self.view.tables.servers().have(address)
    }
}

impl View {
    /// The services that packets find, in no order.
    pub fn services(&self) -> Vec<ServiceId> {
        self.tables.services()
    }
}
