//! What is counted: connections and traffic of each server, and traffic of each service's former
//! servers. A service's row has the number of its place in the map `services`.

pub mod numbers;
pub mod retired;
mod shown;
pub mod tally;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use lb_common::server::{Counters, Load};

use self::{
    retired::Retired,
    shown::{Counted, Shown},
    tally::Tally,
};
use crate::{
    arrays::mapped::{Mapped, add},
    crash::{self, Step},
};

/// How often rates are estimated: IPVS's two seconds.
pub const RATES_EVERY: Duration = Duration::from_secs(2);

/// The maps `loads`, `counters`, `retired` and `zeros`.
pub struct Counts {
    /// Servers that there is room for.
    servers: u32,
    loads: Mapped<u64>,
    counters: Mapped<Counters>,
    retired: Retired,
    shown: Shown,
}

/// The maps of a larger room.
pub struct Larger {
    servers: u32,
    counters: Mapped<Counters>,
    retired: Mapped<Counters>,
    zeros: Mapped<Counters>,
}

impl Counts {
    /// Of these maps.
    pub fn new(
        loads: Mapped<u64>,
        counters: Mapped<Counters>,
        retired: Retired,
        zeros: Mapped<Counters>,
    ) -> Self {
        Self {
            servers: retired.rows(),
            loads,
            counters,
            retired,
            shown: Shown::new(zeros),
        }
    }

    /// Copies everything to larger maps, but for what packets count meanwhile: that
    /// [`move_to`](Self::move_to) carries over.
    pub fn copied_to(
        &self,
        counters: Mapped<Counters>,
        retired: Mapped<Counters>,
        zeros: Mapped<Counters>,
    ) -> Larger {
        self.retired.copy_to(&retired);
        self.shown.copy_to(&zeros);
        let larger = Larger {
            servers: retired.entries(),
            counters,
            retired,
            zeros,
        };
        self.carry_to(&larger);
        larger
    }

    fn carry_to(&self, larger: &Larger) {
        self.tally()
            .carry_to(&Tally::of(&larger.counters, larger.servers));
    }

    /// Takes over what was counted in an earlier room.
    pub fn carry_from(&self, earlier: &Tally<'_>) {
        earlier.carry_to(&self.tally());
    }

    /// Leaves the maps for larger ones; no packet meets the old ones any more.
    pub fn move_to(&mut self, larger: Larger) {
        self.carry_to(&larger);
        self.servers = larger.servers;
        self.counters = larger.counters;
        self.retired.move_to(larger.retired);
        self.shown.move_to(larger.zeros);
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.loads.bytes() + self.counters.bytes() + self.retired.bytes() + self.shown.bytes()
    }

    /// Servers that there is room for.
    pub fn capacity(&self) -> u32 {
        self.servers
    }

    /// The connections of a server.
    pub fn load(&self, server: u32) -> Load {
        let word = self.loads.word(server, 0);
        Load::from_bits(word.map_or(0, |word| word.load(SeqCst)))
    }

    /// True if a server has a connection.
    pub fn has_load(&self, server: u32) -> bool {
        self.load(server) != Load::default()
    }

    /// Changes the connections of a server.
    pub fn add_load(&self, server: u32, change: u64) {
        if let Some(load) = self.loads.word(server, 0) {
            add(load, change);
        }
    }

    /// What a server counted, on all CPUs.
    pub fn counters(&self, server: u32) -> Counters {
        self.tally().total(server)
    }

    /// What a service's former servers counted.
    pub fn former(&self, service: u32) -> Counters {
        self.retired.of(service)
    }

    /// What a server counted since it was zeroed.
    pub fn since_zero(&self, server: u32) -> Counters {
        self.shown
            .since_zero(Counted::Server(server), self.counters(server))
    }

    /// What a service counted since it was zeroed, of `total`.
    pub fn service_since_zero(&self, service: u32, total: Counters) -> Counters {
        self.shown.since_zero(Counted::Service(service), total)
    }

    /// What passes in a second for a server.
    pub fn rates(&self, server: u32) -> Counters {
        self.shown.rates(Counted::Server(server))
    }

    /// What passes in a second for a service.
    pub fn service_rates(&self, service: u32) -> Counters {
        self.shown.rates(Counted::Service(service))
    }

    /// Shows what a server counts from here on.
    pub fn zero(&mut self, server: u32) {
        let counters = self.counters(server);
        self.shown.zero(Counted::Server(server), counters);
    }

    /// Shows what a service counts from here on; so far it is `total`.
    pub fn zero_service(&mut self, service: u32, total: Counters) {
        self.shown.zero(Counted::Service(service), total);
    }

    /// A new server counts from 0.
    pub fn begin_server(&mut self, server: u32) {
        self.clear(server);
        crash::after(Step::CountersCleared);
    }

    /// A new service counts from 0.
    pub fn begin_service(&mut self, service: u32) {
        self.shown.forget(Counted::Service(service));
        self.retired.clear(service);
    }

    /// Adds what a removed server counted to its service's former servers.
    pub fn give(&mut self, server: u32, service: u32) {
        self.retired.note(service, server, self.counters(server));
        self.finish_giving();
    }

    /// Does what is noted, if anything is.
    pub fn finish_giving(&mut self) {
        if let Some(server) = self.retired.take() {
            self.clear(server);
            crash::after(Step::CountTaken);
            self.retired.forget();
        }
    }

    /// Estimates the rates of these servers, each given with its service, and of these services.
    pub fn estimate(
        &mut self,
        servers: impl Iterator<Item = (u32, u32)>,
        services: impl Iterator<Item = u32>,
    ) {
        let mut totals = vec![Counters::default(); self.servers as usize];
        for (server, service) in servers {
            let counters = self.counters(server);
            self.shown.tick(Counted::Server(server), counters);
            if let Some(total) = totals.get_mut(service as usize) {
                *total = *total + counters;
            }
        }
        for service in services {
            let total = totals.get(service as usize).copied().unwrap_or_default();
            let total = total + self.former(service);
            self.shown.tick(Counted::Service(service), total);
        }
    }

    fn clear(&mut self, server: u32) {
        self.shown.forget(Counted::Server(server));
        for row in self.tally().rows(server) {
            self.counters.write(row, Counters::default());
        }
    }

    fn tally(&self) -> Tally<'_> {
        Tally::of(&self.counters, self.servers)
    }
}
