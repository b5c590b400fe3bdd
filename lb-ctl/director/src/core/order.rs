//! What the core orders.

use std::net::IpAddr;

use lb_api::Reply;
use lb_model::{Fault, ServiceId, Timeouts};
use lb_network::Reach;

use super::{effective::Effective, event::Token, told::Told};
use crate::record::{Line, Recorded};

/// Something to be done, in the order in which orders are given.
#[derive(Clone, Debug)]
pub enum Order {
    /// Find out how addresses are reached, and wait a little for those that do not answer ARP at
    /// once. Answered by [`Event::Explored`](super::Event::Explored).
    Explore {
        /// Goes back with the answer.
        epoch: u64,
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// Find out how addresses are reached now. Answered by
    /// [`Event::Updated`](super::Event::Updated).
    Update(Vec<IpAddr>),
    /// Change the packet path. Answered by [`Event::Worked`](super::Event::Worked).
    Work(Work),
    /// Change the next hop of all servers with this address.
    NextHop {
        /// The address.
        address: IpAddr,
        /// How it is reached now.
        reach: Reach,
    },
    /// Routes or neighbours have changed: NAT connections look up the way to their clients again.
    RoutesChanged,
    /// Free the entries of removed servers that no connection refers to. Answered by
    /// [`Event::Unused`](super::Event::Unused).
    Forget,
    /// Record that a work is done.
    Record(Line),
    /// Write the record anew: a batch in it may have been carried out in part only.
    Rewrite(Box<Recorded>),
    /// Log lines.
    Tell(Told),
    /// Answer a request.
    Reply(Token, Reply),
}

/// A change of the packet path. It is done in the order of these fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Its number.
    pub number: u64,
    /// What is recorded before anything else is done.
    pub record: Vec<Line>,
    /// Services that are added or changed.
    pub put: Vec<Effective>,
    /// Services that are removed.
    pub remove: Vec<ServiceId>,
    /// The timeouts.
    pub timeouts: Option<Timeouts>,
    /// All interfaces whose packets are to be handled.
    pub interfaces: Option<Vec<String>>,
    /// Services whose shown counters begin at 0 again (`ipvsadm -Z`).
    pub zero: Vec<ServiceId>,
}

/// The record, as a work uses it.
pub trait Record {
    /// Adds a line. Where that fails, the record is as it was before, and takes no more lines until
    /// it is written anew.
    fn append(&mut self, line: &Line) -> Result<(), Fault>;
}

/// The packet path, as a work uses it. Whatever is as it should be already is left alone.
pub trait PacketPath {
    /// Finds out whether a work can be done, before it is begun: that there is room for these
    /// services, and that the interfaces exist.
    fn prepare(&mut self, services: &[Effective]) -> Result<(), Fault>;
    /// Makes a service what it is to be. Packets see the old servers or the new ones, whole.
    fn put(&mut self, service: &Effective) -> Result<(), Fault>;
    /// Removes a service, if it is there.
    fn remove(&mut self, service: ServiceId) -> Result<(), Fault>;
    /// Sets the timeouts of connections.
    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Fault>;
    /// Handles the packets of these interfaces, and of others only where that is needed.
    fn set_interfaces(&mut self, names: &[String]) -> Result<(), Fault>;
    /// Lets the shown counters of these services begin at 0 again.
    fn zero(&mut self, services: &[ServiceId]) -> Result<(), Fault>;
}

impl Work {
    /// Does the work, up to the first step that fails.
    pub fn carry_out(&self, path: &mut (impl Record + PacketPath)) -> Result<(), Fault> {
        for line in &self.record {
            path.append(line)?;
        }
        if !self.put.is_empty() || self.interfaces.is_some() {
            path.prepare(&self.put)?;
        }
        for service in &self.put {
            path.put(service)?;
        }
        for &service in &self.remove {
            path.remove(service)?;
        }
        if let Some(timeouts) = &self.timeouts {
            path.set_timeouts(timeouts)?;
        }
        if let Some(interfaces) = &self.interfaces {
            path.set_interfaces(interfaces)?;
        }
        if !self.zero.is_empty() {
            path.zero(&self.zero)?;
        }
        Ok(())
    }
}
