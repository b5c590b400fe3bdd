//! Carries out what the core orders: the record, the packet path, its interfaces, and the
//! questions to the network are here. It decides nothing.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context as _, Result};
use lb_dataplane::Dataplane;
use lb_network::{Hop, Reach, Routing};

use crate::{
    care::Care,
    core::{Event, Order, Reaches, Record as _, Work},
    hands::{Hands, next_hop},
    interfaces::Interfaces,
    log,
    record::{Recorded, file::RecordFile},
    replies::Replies,
    scouts::Scouts,
};

/// What orders are carried out with.
pub struct Shell {
    /// What is desired, beside the socket.
    pub record: RecordFile,
    /// The packet path.
    pub dataplane: Dataplane,
    /// Its interfaces.
    pub interfaces: Interfaces,
    /// The kernel's routes and neighbours.
    pub routing: Arc<Routing>,
    /// Who asks how servers are reached.
    pub scouts: Scouts,
    /// What is done all the time.
    pub care: Care,
    /// Clients that wait for the core's reply.
    pub replies: Replies,
}

impl Shell {
    /// Carries an order out. Gives the outcome, where it is known at once, as an event. `reaches`
    /// are the core's.
    pub async fn carry_out(&mut self, order: Order, reaches: &Reaches) -> Option<Event> {
        match order {
            Order::Explore { epoch, addresses } => self.scouts.explore(epoch, addresses),
            Order::Update(addresses) => self.scouts.update(addresses),
            Order::Work(work) => return Some(self.work(work).await),
            Order::NextHop { address, reach } => {
                self.dataplane.set_next_hop(address, &next_hop(&reach));
            }
            Order::RoutesChanged => self.dataplane.routes_changed(),
            Order::Forget => {
                self.dataplane.forget_unused();
                return Some(self.unused(reaches));
            }
            Order::Record(line) => {
                // Where that fails, the record is written anew.
                if let Err(fault) = self.record.append(&line) {
                    tracing::error!("{fault}");
                }
            }
            Order::Rewrite(recorded) => self.rewrite(&recorded),
            Order::Tell(told) => log::tell(&told),
            Order::Reply(token, reply) => self.replies.give(token, reply),
        }
        None
    }

    async fn work(&mut self, work: Work) -> Event {
        let found = match &work.interfaces {
            Some(names) => Some(self.interfaces.look_up(names).await),
            None => None,
        };
        let mut hands = Hands {
            record: &mut self.record,
            dataplane: &mut self.dataplane,
            interfaces: &mut self.interfaces,
            found,
        };
        let outcome = work.carry_out(&mut hands);
        if outcome.is_ok() {
            self.interfaces.warn_of_ways_out(&work.put);
        }
        let work = work.number;
        Event::Worked { work, outcome }
    }

    /// The addresses that the core knows and the packet path has no server at.
    pub fn unused(&self, reaches: &Reaches) -> Event {
        let mut addresses = reaches.addresses();
        addresses.retain(|address| !self.dataplane.has_server_at(*address));
        Event::Unused(addresses)
    }

    /// Writes the record anew.
    pub fn rewrite(&mut self, recorded: &Recorded) {
        let outcome = self.record.rewrite(recorded);
        let outcome = outcome.context("changes cannot be recorded, and are refused");
        self.care.complaints.note("record", outcome);
    }

    /// Looks up interfaces again after some of them have changed.
    pub async fn interfaces_changed(&mut self) {
        let complaints = &mut self.care.complaints;
        let outcome = self.interfaces.changed(&mut self.dataplane, complaints);
        let outcome = outcome.await;
        complaints.note("interfaces", outcome);
    }

    /// Looks up this machine's addresses again after some of them have changed.
    pub async fn addresses_changed(&mut self) {
        let outcome = self.tell_addresses().await;
        self.care.complaints.note("addresses", outcome);
    }

    /// Tells the packet path which addresses no client can have.
    pub async fn tell_addresses(&mut self) -> Result<()> {
        let addresses = self.routing.addresses().await?.into_iter();
        let addresses: Vec<_> = addresses
            .flat_map(|own| [Some(own.address), own.broadcast()])
            .flatten()
            .collect();
        self.dataplane.set_own_addresses(&addresses)
    }

    /// Undoes what somebody changed behind the daemon's back: see [`Care::audit`].
    pub async fn audit(&mut self) {
        let (dataplane, interfaces) = (&mut self.dataplane, &mut self.interfaces);
        self.care.audit(dataplane, interfaces).await;
    }

    /// Takes the packet path down. The record is removed first: if the daemon crashes in between,
    /// the next one must not make the live edits again.
    pub fn take_down(&mut self) -> Result<()> {
        self.record.remove().context("cannot remove the record")?;
        self.dataplane.take_down()
    }

    /// For servers that do not answer ARP now: the next hop that the packet path has from the last
    /// daemon. It goes on sending there, as if that daemon had not ended.
    pub async fn remembered(&self, found: &[(IpAddr, Reach)]) -> Result<Vec<(IpAddr, Reach)>> {
        let interfaces = self.routing.interfaces().await?;
        let hop = |(address, reach): &(IpAddr, Reach)| {
            let Reach::Unresolved {
                interface,
                next_hop,
            } = reach
            else {
                return None;
            };
            let interface = interfaces.iter().find(|known| known.name == *interface)?;
            let last = self.dataplane.next_hop(*address, interface.index)?;
            let hop = Hop {
                interface: interface.index,
                interface_name: interface.name.clone(),
                kind: interface.kind.clone(),
                source_mac: interface.mac,
                next_hop_mac: last.next_hop_mac,
                mtu: last.mtu,
                source: last.source,
                next_hop: *next_hop,
            };
            Some((*address, Reach::Hop(hop)))
        };
        Ok(found.iter().filter_map(hop).collect())
    }
}
