//! The map `own`: addresses that no client can have, so that a packet which says that it comes from
//! one opens no connection. They are this machine's own, and VIPs.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use aya::maps::Map;

use super::members::Members;

/// The addresses, as on the wire.
pub struct Own {
    members: Members<u32>,
    of_machine: HashSet<u32>,
    /// VIPs, each with the number of services that have it.
    vips: HashMap<u32, u32>,
}

impl Own {
    /// Takes those that there are.
    pub fn new(map: Map) -> Result<Self> {
        let members = Members::adopt("own", map)?;
        Ok(Self {
            // Until the daemon knows better.
            of_machine: members.all().collect(),
            members,
            vips: HashMap::new(),
        })
    }

    /// Makes these the machine's.
    pub fn set_of_machine(&mut self, addresses: HashSet<u32>) -> Result<()> {
        self.of_machine = addresses;
        let there: Vec<u32> = self.members.all().collect();
        for address in there {
            self.put_right(address)?;
        }
        let wanted: Vec<u32> = self.of_machine.iter().copied().collect();
        wanted
            .into_iter()
            .try_for_each(|address| self.put_right(address))
    }

    /// A service more has this VIP.
    pub fn add_vip(&mut self, address: u32) -> Result<()> {
        *self.vips.entry(address).or_default() += 1;
        self.put_right(address)
    }

    /// A service less has this VIP.
    pub fn remove_vip(&mut self, address: u32) -> Result<()> {
        if let Some(services) = self.vips.get_mut(&address) {
            *services -= 1;
            if *services == 0 {
                self.vips.remove(&address);
            }
        }
        self.put_right(address)
    }

    fn put_right(&mut self, address: u32) -> Result<()> {
        if self.of_machine.contains(&address) || self.vips.contains_key(&address) {
            self.members.insert(address)
        } else {
            self.members.remove(&address)
        }
    }

    /// Undoes what somebody else has changed; says so.
    pub fn repair(&mut self) -> Result<Option<String>> {
        self.members.repair()
    }
}
