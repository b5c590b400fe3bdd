//! A service as IPVS keeps it, for the tests of schedulers.

use std::{cell::Cell, vec, vec::Vec};

use super::{Entry, LINE_ENTRIES, Position, Roster, Scheduler};
use crate::server::Load;

/// Servers are named by the last byte of their address: .11, .12, .13 …
pub struct Bench {
    scheduler: Scheduler,
    /// As scheduled: the server added last is the first.
    order: Vec<Entry>,
    loads: Vec<Load>,
    position: Cell<Position>,
    /// Not eligible, whatever their weight.
    pub overloaded: Vec<u32>,
}

impl Bench {
    /// Adds servers with these weights, one after the other.
    pub fn of(scheduler: Scheduler, weights: &[u32]) -> Self {
        let servers = (11..).zip(weights);
        let entries = servers.map(|(server, &weight)| Entry { server, weight });
        let mut order: Vec<_> = entries.collect();
        order.reverse();
        Self {
            position: Cell::new(scheduler.position_of_new(&order)),
            scheduler,
            order,
            loads: vec![Load::default(); 64],
            overloaded: Vec::new(),
        }
    }

    /// Changes a server's weight.
    pub fn reweigh(&mut self, server: u32, weight: u32) {
        let old = self.order.clone();
        for entry in &mut self.order {
            if entry.server == server {
                entry.weight = weight;
            }
        }
        let position = self.position.get();
        self.set_position(self.scheduler.position_after(&old, position, &self.order));
    }

    /// Lets the scheduler continue from this position.
    pub fn set_position(&mut self, position: Position) {
        self.position.set(position);
    }

    /// Says how many connections a server has.
    pub fn set_load(&mut self, server: u32, load: Load) {
        self.loads[server as usize] = load;
    }

    /// The server for the next connection.
    pub fn choose(&self) -> Option<u32> {
        self.scheduler.choose(self)
    }

    /// The servers for that many connections, all of which stay active; 0 for none.
    pub fn picks(&mut self, connections: usize) -> Vec<u32> {
        let pick = |_| {
            let server = self.choose().unwrap_or(0);
            self.loads[server as usize].active += 1;
            server
        };
        (0..connections).map(pick).collect()
    }
}

impl Roster for Bench {
    fn len(&self) -> u32 {
        self.order.len() as u32
    }

    fn eligible(&self, entry: &Entry) -> bool {
        entry.weight > 0 && !self.overloaded.contains(&entry.server)
    }

    fn entry(&self, place: u32) -> Option<Entry> {
        self.order.get(place as usize).copied()
    }

    fn visit_line(&self, number: u32, mut visit: impl FnMut(Entry, Load)) {
        let first = number * LINE_ENTRIES;
        for place in first..first + LINE_ENTRIES {
            // What a map has after the last server.
            let entry = self.entry(place).unwrap_or(Entry::from_bits(0));
            visit(entry, self.loads[entry.server as usize]);
        }
    }

    fn turn(&self, take: impl Fn(Position, u64) -> Option<(u32, Position)>) -> Option<u32> {
        let digest = self.scheduler.digest(&self.order);
        let (server, position) = take(self.position.get(), digest)?;
        self.position.set(position);
        Some(server)
    }
}
