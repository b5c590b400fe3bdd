//! Services, their servers, and how these are reached.

use std::{iter, net::IpAddr};

use anyhow::Result;
use lb_model::{Service, ServiceId};

use crate::{
    Dataplane,
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
        match self.tables.put(service, &next_hop) {
            // Free lines are in pieces that are too small.
            Err(error) if error.is::<NoLines>() => {
                self.grow(self.tables.size())?;
                self.tables.put(service, &next_hop)
            }
            outcome => outcome,
        }
    }

    /// Removes a service. Its connections stay in the table until they expire, and their
    /// packets are dropped, as in IPVS.
    pub fn remove(&mut self, service: ServiceId) -> Result<()> {
        self.tables.remove(service)
    }

    /// Makes sure that there is room for these services. [`put`](Self::put) does so for one
    /// service. If there are many, it is better done for all at once: then the packet path
    /// moves to a larger room once, and if there is no memory, nothing has been changed yet.
    pub fn make_room<'a>(&mut self, services: impl Iterator<Item = &'a Service>) -> Result<()> {
        match self.tables.lacks(services)? {
            Some(needed) => self.grow(needed),
            None => Ok(()),
        }
    }

    fn grow(&mut self, needed: room::Size) -> Result<()> {
        let before = self.tables.size();
        let size = life::larger(needed, before)?;
        let copy = |maps| self.tables.copied_to(maps);
        let (room, larger) = self.life.furnish(size, &self.settings.get(), copy)?;
        self.life.enter(room)?;
        self.tables.move_to(larger);
        crash::after(Step::CountCarried);
        self.life.leave_earlier_rooms()?;
        tracing::info!(
            "there is room for {} servers now, after {}",
            size.places,
            before.places
        );
        Ok(())
    }

    /// The services that packets find, in no order.
    pub fn services(&self) -> Vec<ServiceId> {
        self.tables.services()
    }

    /// Frees what removed servers still occupy, if no connection refers to them. True if there
    /// were any.
    pub fn forget_unused(&mut self) -> bool {
        self.tables.forget_unused()
    }

    /// Changes the next hop of all servers with this address.
    pub fn set_next_hop(&self, address: IpAddr, next_hop: &NextHop) {
        self.tables.servers().set_next_hop(address, next_hop);
    }

    /// The next hop that packets take to a server with this address, if they leave by this
    /// interface.
    pub fn next_hop(&self, address: IpAddr, interface: u32) -> Option<Hop> {
        self.tables.servers().hop(address, interface)
    }

    /// True if a server has this address, or if a removed one had to which connections refer.
    pub fn has_server_at(&self, address: IpAddr) -> bool {
        self.tables.servers().have(address)
    }
}
