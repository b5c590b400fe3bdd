//! Carries works out: in the record, and in the packet path.

use lb_dataplane::{self as dataplane, Dataplane, NextHop};
use lb_model::{Fault, ServiceId, Timeouts};
use lb_network::Reach;

use crate::{
    core::{Effective, PacketPath, Record},
    interfaces::{Found, Interfaces},
    record::{Line, file::RecordFile},
};

/// What a work is carried out with.
pub struct Worker<'a> {
    /// The record.
    pub record: &'a mut RecordFile,
    /// The packet path.
    pub dataplane: &'a mut Dataplane,
    /// Its interfaces.
    pub interfaces: &'a mut Interfaces,
    /// What the kernel says of those that the work names.
    pub found: Option<anyhow::Result<Found>>,
}

impl Record for Worker<'_> {
    fn append(&mut self, line: &Line) -> Result<(), Fault> {
        self.record.append(line)
    }
}

impl PacketPath for Worker<'_> {
    fn prepare(&mut self, services: &[Effective]) -> Result<(), Fault> {
        if let Some(Err(error)) = &self.found {
            return Err(fault(error));
        }
        let services = services.iter().map(|effective| &effective.service);
        self.dataplane.make_room(services).map_err(|e| fault(&e))
    }

    fn put(&mut self, service: &Effective) -> Result<(), Fault> {
        let Effective { service, reaches } = service;
        let reach = |address| reaches.get(&address).map_or(NextHop::Unknown, next_hop);
        self.dataplane.put(service, reach).map_err(|e| fault(&e))
    }

    fn remove(&mut self, service: ServiceId) -> Result<(), Fault> {
        self.dataplane.remove(service).map_err(|e| fault(&e))
    }

    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Fault> {
        self.dataplane.set_timeouts(timeouts);
        Ok(())
    }

    fn set_interfaces(&mut self, names: &[String]) -> Result<(), Fault> {
        let Some(Ok(found)) = &self.found else {
            return Err(Fault::new("the interfaces were not looked up"));
        };
        let outcome = self.interfaces.set(self.dataplane, names, found);
        outcome.map_err(|e| fault(&e))
    }

    fn zero(&mut self, services: &[ServiceId]) -> Result<(), Fault> {
        self.dataplane.zero(services);
        Ok(())
    }
}

fn fault(error: &anyhow::Error) -> Fault {
    Fault::new(format!("{error:#}"))
}

/// What the packet path is told of how a server is reached.
#[must_use]
pub fn next_hop(reach: &Reach) -> NextHop {
    match reach {
        Reach::Local => NextHop::Local,
        Reach::Hop(hop) => NextHop::Ethernet(dataplane::Hop {
            interface: hop.interface,
            source_mac: hop.source_mac,
            next_hop_mac: hop.next_hop_mac,
            mtu: hop.mtu,
            source: hop.source,
        }),
        Reach::Unresolved { .. } | Reach::None(_) => NextHop::Unknown,
    }
}
