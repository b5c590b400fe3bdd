//! What packets find: services, their rosters and their servers; and what those count.
//!
//! The order of what is written leaves nothing that misleads a packet, wherever the daemon dies:
//! a server's entry is there before a roster has it, a roster before a service refers to it. The
//! next start finishes what was begun.
//!
//! - [`mod@put`]: services are put and removed
//! - [`mod@finish`]: what a crash left half done
//! - [`room`]: how much fits, and the move to a larger room
//! - [`totals`]: what is counted

mod finish;
mod put;
mod room;
mod totals;

use std::collections::HashSet;

use anyhow::Result;
use lb_common::service::Service as Value;
use lb_model::{ServerId, ServiceId};

use crate::{
    audit::Part,
    counts::Counts,
    encode,
    maps::{
        addresses::Addresses,
        own::Own,
        rosters::Rosters,
        servers::Servers,
        services::{self, Services},
    },
};

/// The maps of services and servers.
pub struct Tables {
    services: Services,
    rosters: Rosters,
    servers: Servers,
    counts: Counts,
    addresses: Addresses,
    own: Own,
}

impl Tables {
    /// Reads what the maps of a room say, and finishes what a daemon that crashed has begun.
    pub fn new(
        services: services::Map,
        rosters: Rosters,
        servers: Servers,
        counts: Counts,
        addresses: Addresses,
        own: Own,
    ) -> Result<Self> {
        let mut this = Self::seen(services, rosters, servers, counts, addresses, own)?;
        let vips: Vec<_> = this.services().iter().map(encode::vip).collect();
        vips.into_iter()
            .flatten()
            .try_for_each(|vip| this.own.add_vip(vip))?;
        this.finish();
        let Self {
            servers, addresses, ..
        } = &mut this;
        addresses.adopt(servers.entries().flat_map(|entry| encode::concerns(&entry)));
        Ok(this)
    }

    /// Reads what the maps of a room say.
    pub fn seen(
        services: services::Map,
        mut rosters: Rosters,
        servers: Servers,
        counts: Counts,
        addresses: Addresses,
        own: Own,
    ) -> Result<Self> {
        let services = Services::new(services, servers.capacity(), |value| rosters.adopt(value))?;
        Ok(Self {
            services,
            rosters,
            servers,
            counts,
            addresses,
            own,
        })
    }

    /// The services that packets find, in no order.
    pub fn services(&self) -> Vec<ServiceId> {
        self.services.all().map(|(id, _)| id).collect()
    }

    /// A service's row where services are counted.
    pub fn row(&self, service: ServiceId) -> Option<u32> {
        self.services.get(service).map(|value| value.index)
    }

    /// Makes these addresses, as on the wire, the machine's own.
    pub fn set_own(&mut self, addresses: HashSet<u32>) -> Result<()> {
        self.own.set_of_machine(addresses)
    }

    /// The servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What they count.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The servers of a service's roster.
    fn members(&self, value: &Value) -> HashSet<ServerId> {
        let entries = self.rosters.read(value.roster, value.servers);
        let identities = entries
            .iter()
            .filter_map(|entry| self.servers.identity(entry.server));
        identities.map(|identity| identity.server).collect()
    }

    /// Repairs a part of what somebody else may have changed; says what it was.
    pub fn repair(&mut self, part: Part) -> Result<Vec<String>> {
        let mut repaired = self.servers.repair(part);
        repaired.extend(self.addresses.repair());
        for first in self.rosters.repair(part.of(self.rosters.lines())) {
            let mut all = self.services.all();
            repaired.push(match all.find(|(_, value)| value.roster == first) {
                Some((id, _)) => format!("the roster of {id} was changed in the map `rosters`"),
                None => "an old roster was changed in the map `rosters`".to_owned(),
            });
        }
        repaired.extend(self.services.repair(part)?);
        if part.is_first() {
            repaired.extend(self.own.repair()?);
        }
        Ok(repaired)
    }

    /// Bytes of memory, without hash maps.
    pub fn bytes(&self) -> u64 {
        self.rosters.bytes() + self.servers.bytes() + self.counts.bytes() + self.addresses.bytes()
    }
}
