//! How much room services and servers take, and how they move to a larger one.

use anyhow::Result;
use lb_common::server::Server;
use lb_model::Service;

use super::Tables;
use crate::{
    arrays::kept::Kept,
    counts, encode,
    life::room::{RoomMaps, Size},
    maps::{rosters::Rosters, services},
};

/// The maps of a larger room, which say the same.
pub struct Larger {
    services: services::Map,
    rosters: Rosters,
    servers: Kept<Server>,
    counts: counts::Larger,
}

impl Tables {
    /// The size of the room.
    pub fn size(&self) -> Size {
        Size {
            places: self.servers.capacity(),
            lines: self.rosters.lines(),
        }
    }

    /// What a room has to hold so that these services can be put; `None` if this room holds
    /// them.
    pub fn lacks<'a>(&self, services: impl Iterator<Item = &'a Service>) -> Result<Option<Size>> {
        let (mut new_services, mut new_servers, mut lines) = (0, 0, 0);
        for service in services {
            let scheduler = encode::scheduler_number(&service.options.scheduler)?;
            lines += scheduler.roster_lines(service.servers.len() as u32);
            new_services += u32::from(self.services.get(service.id).is_none());
            for server in &service.servers {
                let (identity, _) = encode::roster_entry(service, server);
                new_servers += u32::from(!self.servers.has(&identity));
            }
        }
        let all = self.size();
        let servers = all.places - self.servers.free() + new_servers;
        let services = all.places - self.services.free() + new_services;
        let needed = Size {
            places: servers.max(services),
            lines: self.rosters.used() + lines,
        };
        let fits = needed.max(all) == all;
        Ok((!fits).then_some(needed))
    }

    /// Copies everything to the maps of a larger room, which no packet meets yet.
    pub fn copied_to(&self, mut room: RoomMaps) -> Result<Larger> {
        self.services.copy_to(&mut room.services)?;
        Ok(Larger {
            services: room.services,
            rosters: self.rosters.copied_to(room.rosters)?,
            servers: self.servers.copied_to(room.servers)?,
            counts: self
                .counts
                .copied_to(room.counters, room.retired, room.zeros),
        })
    }

    /// Moves to a larger room, whose program handles all packets by now.
    pub fn move_to(&mut self, larger: Larger) {
        self.counts.move_to(larger.counts);
        let before = self.servers.capacity();
        self.servers.move_to(larger.servers);
        self.rosters = larger.rosters;
        self.services
            .move_to(larger.services, before..self.servers.capacity());
    }
}
