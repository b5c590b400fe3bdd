//! Whether each server's count of connections is what the table says.
//!
//! The packet path and the sweep keep these counts exact. But a daemon that was killed in the
//! middle of a sweep may have left one connection counted that is gone, or somebody may have
//! written into the map. So every sweep counts; and where a count was wrong by the same number
//! twice in a row, while no packet of the server passed in between and nothing else changed it,
//! it is put right.

use std::collections::HashMap;

use lb_common::server::{Counters, Load};

use super::counts::Counts;
use crate::crash::{self, Step};

/// What this sweep has counted, and what the last one found wrong.
pub struct Recount {
    counted: Vec<u64>,
    suspects: HashMap<u32, Suspect>,
}

#[derive(PartialEq)]
struct Suspect {
    load: u64,
    counted: u64,
    counters: Counters,
}

/// A count that was put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Index into the map `servers`.
    pub server: u32,
    /// What was there.
    pub before: Load,
    /// What the table says.
    pub now: Load,
}

/// Servers in doubt that are looked at: under traffic, a sweep finds many whose connections
/// came and went meanwhile.
const MOST_SUSPECTS: usize = 1024;

impl Recount {
    /// Nothing is counted yet.
    pub fn new(servers: u32) -> Self {
        Self {
            counted: vec![0; servers as usize],
            suspects: HashMap::new(),
        }
    }

    /// A connection of this server is in the table.
    pub fn see(&mut self, server: u32, active: bool) {
        if let Some(counted) = self.counted.get_mut(server as usize) {
            *counted = counted.wrapping_add(Load::one(active));
        }
    }

    /// The whole table was seen: puts right what is wrong for sure, and begins anew.
    pub fn finish(&mut self, servers: &Counts) -> Vec<Mended> {
        let mut suspects = HashMap::new();
        let mut mended = Vec::new();
        for (server, counted) in (0..).zip(&mut self.counted) {
            let counted = std::mem::take(counted);
            let load = servers.load(server).bits();
            if load == counted || suspects.len() == MOST_SUSPECTS {
                continue;
            }
            let suspect = Suspect {
                load,
                counted,
                counters: servers.counters(server),
            };
            if self.suspects.get(&server) == Some(&suspect) {
                servers.add_load(server, counted.wrapping_sub(load));
                crash::after(Step::LoadMended);
                mended.push(Mended {
                    server,
                    before: Load::from_bits(load),
                    now: Load::from_bits(counted),
                });
            } else {
                suspects.insert(server, suspect);
            }
        }
        self.suspects = suspects;
        // The packet path may have grown.
        self.counted.resize(servers.capacity() as usize, 0);
        mended
    }
}
