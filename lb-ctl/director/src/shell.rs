//! Carries out what the core orders: the record, the packet path, its interfaces, and the
//! questions to the network are here. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result};
use lb_api::Reply;
use lb_dataplane::Dataplane;
use lb_model::Method;
use lb_network::{Hop, Reach, Routing};

use crate::{
    clients::Clients,
    core::{Core, Effective, Event, Order, Reaches, Record as _, TROUBLE, Work, misplaced},
    interfaces::{INTERFACES, Interfaces},
    log::Log,
    lookups::Lookups,
    maintenance::Maintenance,
    needs::{Machine, Needs, needs},
    record::{Line, Recorded, file::RecordFile},
    replies::Replies,
    worker::{Worker, next_hop},
};

/// A reply to somebody who changes something also tells what is wrong with interfaces.
fn with(mut reply: Reply, troubles: Vec<String>) -> Reply {
    if let Reply::Lines(lines) | Reply::Changed { lines, .. } = &mut reply {
        lines.extend(
            troubles
                .into_iter()
                .map(|trouble| format!("{TROUBLE}{trouble}")),
        );
    }
    reply
}

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
    pub lookups: Lookups,
    /// The ways to clients.
    pub clients: Clients,
    /// What is done all the time.
    pub maintenance: Maintenance,
    /// Clients that wait for the core's reply.
    pub replies: Replies,
    /// The core's lines in the log.
    pub log: Log,
    /// Index by name, as the record has them.
    pub recorded_interfaces: BTreeMap<String, u32>,
    /// Something has changed that [`needs`] follow from.
    pub needs_changed: bool,
    /// When they may be looked at again without waiting for the next tick.
    pub needs_due: Instant,
    /// Interfaces that replies of NAT servers leave by.
    pub to_clients: BTreeSet<u32>,
    /// Interfaces that servers turned out to be behind since the needs were looked at last.
    pub ways_out_seen: BTreeSet<u32>,
}

impl Shell {
    /// Carries an order of this core out. Gives the outcome, where it is known at once, as an event.
    pub async fn carry_out(&mut self, order: Order, core: &Core) -> Option<Event> {
        match order {
            Order::Explore { epoch, addresses } => self.lookups.explore(epoch, addresses),
            Order::Update(addresses) => self.lookups.update(addresses),
            Order::Work(work) => return Some(self.work(work, core).await),
            Order::NextHop { address, reach } => {
                self.needs_changed = true;
                // First the interface, then the packets that need it. Others may be behind the same.
                if let Reach::Hop(hop) = &reach
                    && !self.interfaces.attached().contains_key(&hop.interface)
                    && self.ways_out_seen.insert(hop.interface)
                {
                    self.see_to_needs(core).await;
                }
                self.dataplane.set_next_hop(address, &next_hop(&reach));
            }
            Order::RoutesChanged => self.dataplane.routes_changed(),
            Order::Forget => {
                self.dataplane.forget_unused();
                return Some(self.unused(core.reaches()));
            }
            Order::Record(line) => {
                // Where that fails, the record is written anew.
                if let Err(fault) = self.record.append(&line) {
                    tracing::error!("{fault}");
                }
            }
            Order::Rewrite(recorded) => self.rewrite(&recorded),
            Order::Tell(told) => self.log.tell(told, Instant::now()),
            Order::Reply(token, reply) => {
                let troubles = self.maintenance.troubles.of(INTERFACES);
                self.replies.give(token, with(reply, troubles));
            }
        }
        None
    }

    async fn work(&mut self, work: Work, core: &Core) -> Event {
        let found = match &work.interfaces {
            Some(names) => Some(self.interfaces.look_up(names).await),
            None => None,
        };
        let mut worker = Worker {
            record: &mut self.record,
            dataplane: &mut self.dataplane,
            interfaces: &mut self.interfaces,
            found,
        };
        let outcome = work.carry_out(&mut worker);
        self.needs_changed = true;
        if outcome.is_ok() && work.interfaces.is_some() {
            self.record_interfaces();
        }
        if outcome.is_ok() && (work.interfaces.is_some() || self.lacks_interface(&work.put)) {
            self.see_to_needs(core).await;
        }
        let work = work.number;
        Event::Worked { work, outcome }
    }

    /// True if NAT servers are behind an interface that the program is not attached to.
    fn lacks_interface(&self, services: &[Effective]) -> bool {
        let translated = services.iter().filter(|effective| {
            let service = &effective.service;
            let methods = service.servers.iter().map(|server| service.method(server));
            methods.into_iter().any(|method| method == Method::Nat)
        });
        translated
            .flat_map(|effective| effective.reaches.values())
            .any(|reach| match reach {
                Reach::Hop(hop) => !self.interfaces.attached().contains_key(&hop.interface),
                _ => false,
            })
    }

    /// Keeps the ways to clients fresh.
    pub fn refresh_clients(&mut self) {
        let outcome = self.clients.refresh(&mut self.dataplane);
        let outcome = outcome.map(|to_clients| {
            self.needs_changed |= !to_clients.is_subset(&self.to_clients);
            self.to_clients = to_clients;
        });
        self.maintenance.troubles.note("ways to clients", outcome);
    }

    /// Finds out which packets are being lost.
    pub fn look_for_losses(&mut self) {
        let Maintenance {
            losses, troubles, ..
        } = &mut self.maintenance;
        let outcome = losses.look(&self.dataplane, troubles);
        troubles.note("counters", outcome);
    }

    /// Finds out which servers answer nobody. To be called often.
    pub fn look_at_servers(&mut self, core: &Core) {
        let Maintenance {
            losses, troubles, ..
        } = &mut self.maintenance;
        let view = self.dataplane.view();
        losses.look_at_servers(core.desired(), core.reaches(), view, troubles);
    }

    /// Attaches to interfaces that are needed, and finds VIPs that clients may not reach, if
    /// anything has changed that this follows from.
    pub async fn see_to_needs(&mut self, core: &Core) {
        let gone = self.interfaces.let_go(&self.dataplane);
        if std::mem::take(&mut self.needs_changed) || gone {
            let outcome = self.try_needs(core).await;
            self.needs_changed = outcome.is_err();
            self.maintenance.troubles.note("needed interfaces", outcome);
        }
    }

    async fn try_needs(&mut self, core: &Core) -> Result<()> {
        let interfaces = self.routing.interfaces().await?;
        let addresses = self.routing.addresses().await?;
        let machine = Machine {
            interfaces: &interfaces,
            addresses: &addresses,
            attached: self.interfaces.attached(),
            to_clients: &self.to_clients,
        };
        let wanted = self.interfaces.wanted();
        let Needs {
            attach,
            vips,
            unable,
        } = needs(core.desired(), core.reaches(), &machine, &wanted);
        let (dataplane, troubles) = (&mut self.dataplane, &mut self.maintenance.troubles);
        self.interfaces
            .need(dataplane, &attach, &interfaces, troubles)?;
        troubles.set("vips", vips);
        troubles.set("unable", unable);
        let attached = self.interfaces.attached();
        let attached = interfaces
            .iter()
            .filter(|it| attached.contains_key(&it.index));
        let deaf = attached.filter_map(|it| {
            let told = format!("no packets arrive by {}, {}", it.name, it.obstacle()?);
            Some((it.name.clone(), told))
        });
        troubles.set("deaf", deaf.collect());
        let misplaced = misplaced(core.desired().services.iter(), core.reaches());
        troubles.set("misplaced", misplaced);
        Ok(())
    }

    /// The addresses that the core knows and the packet path has no server at.
    pub fn unused(&self, reaches: &Reaches) -> Event {
        let mut addresses = reaches.addresses();
        addresses.retain(|address| !self.dataplane.has_server_at(*address));
        Event::Unused(addresses)
    }

    /// Notes which interfaces the names in the file mean: they may get others.
    fn record_interfaces(&mut self) {
        let bindings = self.interfaces.bindings();
        if self.recorded_interfaces == bindings {
            return;
        }
        self.recorded_interfaces = bindings.clone();
        let line = Line::Interfaces(bindings);
        if let Err(fault) = self.record.append(&line) {
            tracing::error!("{fault}");
        }
    }

    /// Writes the record anew.
    pub fn rewrite(&mut self, recorded: &Recorded) {
        let recorded = Recorded {
            interfaces: self.interfaces.bindings(),
            ..recorded.clone()
        };
        let outcome = self.record.rewrite(&recorded);
        let outcome = outcome.context("changes cannot be recorded, and are refused");
        self.maintenance.troubles.note("record", outcome);
    }

    /// As [`Self::see_to_needs`], at once after the network has changed; but where that is costly,
    /// and the network changes all the time, only with the next tick.
    pub async fn see_to_needs_soon(&mut self, core: &Core) {
        if self.needs_due <= Instant::now() {
            let begun = Instant::now();
            self.see_to_needs(core).await;
            self.needs_due = Instant::now() + 20 * begun.elapsed();
        }
    }

    /// Looks up interfaces again after some of them have changed.
    pub async fn interfaces_changed(&mut self) {
        self.needs_changed = true;
        let troubles = &mut self.maintenance.troubles;
        let outcome = self.interfaces.changed(&mut self.dataplane, troubles);
        let outcome = outcome.await;
        troubles.note("interfaces", outcome);
        self.record_interfaces();
    }

    /// Looks up this machine's addresses again after some of them have changed.
    pub async fn addresses_changed(&mut self) -> Option<Event> {
        let outcome = self.tell_addresses().await;
        self.needs_changed = true;
        let (event, outcome) = match outcome {
            Ok(event) => (Some(event), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.maintenance.troubles.note("addresses", outcome);
        event
    }

    /// Tells the packet path which addresses no client can have. Gives this machine's own, for the
    /// core.
    pub async fn tell_addresses(&mut self) -> Result<Event> {
        let own = self.routing.addresses().await?;
        let no_clients = own.iter();
        let no_clients: Vec<_> = no_clients
            .flat_map(|own| [Some(own.address), own.broadcast()])
            .flatten()
            .collect();
        self.dataplane.set_own_addresses(&no_clients)?;
        let own = own.into_iter().map(|own| own.address.into());
        Ok(Event::OwnAddresses(own.collect()))
    }

    /// Undoes what somebody changed behind the daemon's back: see [`Maintenance::audit`].
    pub async fn audit(&mut self) {
        let (dataplane, interfaces) = (&mut self.dataplane, &mut self.interfaces);
        self.maintenance.audit(dataplane, interfaces).await;
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
                ..
            } = reach
            else {
                return None;
            };
            let interface = interfaces.iter().find(|known| known.index == *interface)?;
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
