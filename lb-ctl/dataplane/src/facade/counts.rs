//! What is counted.

use std::time::Duration;

use anyhow::Result;
use lb_common::{drops::Drop, passes::Pass};
use lb_model::ServiceId;

use crate::{
    Dataplane, View,
    counts::{self, numbers::Numbers},
};

impl Dataplane {
    /// Packets that were lost after they were sent, by the index of the interface that they were
    /// to leave by; since the daemon began, or got larger maps.
    pub fn lost(&self) -> Result<Vec<(u32, u64)>> {
        self.life.lost()
    }

    /// Shows what these services and their servers count from here on (`ipvsadm -Z`).
    pub fn zero(&mut self, services: &[ServiceId]) {
        self.view.tables.zero(services);
    }

    /// How often [`estimate_rates`](Self::estimate_rates) is to be called.
    pub const RATES_EVERY: Duration = counts::RATES_EVERY;

    /// Estimates the rates of all services and servers.
    pub fn estimate_rates(&mut self) {
        self.view.tables.estimate_rates();
    }
}

impl View {
    /// What is counted for a service and its servers.
    pub fn numbers(&self, service: ServiceId) -> Numbers<'_> {
        Numbers::of(&self.tables, service)
    }

    /// Packets to services that were left to the kernel's network stack, by reason.
    pub fn passes(&self) -> Result<Vec<(Pass, u64)>> {
        let count = |&reason: &Pass| {
            let counts = self.passes.get(&(reason as u32), 0)?;
            Ok((reason, counts.iter().sum()))
        };
        Pass::ALL.iter().map(count).collect()
    }

    /// Packets dropped, by reason.
    pub fn drops(&self) -> Result<Vec<(Drop, u64)>> {
        let count = |&reason: &Drop| {
            let counts = self.drops.get(&(reason as u32), 0)?;
            Ok((reason, counts.iter().sum()))
        };
        Drop::ALL.iter().map(count).collect()
    }
}
