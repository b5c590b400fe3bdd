//! What is shown of counters: what was counted since they were zeroed (`ipvsadm -Z`), and what
//! passes in a second.
//!
//! The counters only go up, because the program adds to them without a lock. To zero a counter is
//! to note its value. These notes are in the map `zeros`, so that they outlive the daemon: it has
//! two rows for each number, one for the server with that number and one for the service.

use lb_common::server::Counters;

use crate::arrays::mapped::Mapped;

/// Notes and rates of all servers and services.
pub struct Shown {
    zeros: Mapped<Counters>,
    /// One for each row of `zeros`.
    estimates: Vec<Estimate>,
}

/// Something that is counted.
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    /// A server, by its entry.
    Server(u32),
    /// A service, by its number.
    Service(u32),
}

impl Shown {
    /// Of this map; rates begin at 0.
    pub fn new(zeros: Mapped<Counters>) -> Self {
        let estimates = vec![Estimate::default(); zeros.entries() as usize];
        Self { zeros, estimates }
    }

    /// Bytes of memory of the map.
    pub fn bytes(&self) -> u64 {
        self.zeros.bytes()
    }

    /// Copies the notes to a larger map.
    pub fn copy_to(&self, larger: &Mapped<Counters>) {
        for row in 0..self.zeros.entries() {
            if let Some(zero) = self.zeros.read(row)
                && zero != Counters::default()
            {
                larger.write(row, zero);
            }
        }
    }

    /// Leaves the map for a larger one with the same notes.
    pub fn move_to(&mut self, larger: Mapped<Counters>) {
        self.estimates
            .resize(larger.entries() as usize, Estimate::default());
        self.zeros = larger;
    }

    /// What was counted since it was zeroed.
    pub fn since_zero(&self, what: Counted, counters: Counters) -> Counters {
        let zero = self.zeros.read(what.row()).unwrap_or_default();
        Counters {
            connections: counters.connections.saturating_sub(zero.connections),
            in_packets: counters.in_packets.saturating_sub(zero.in_packets),
            out_packets: counters.out_packets.saturating_sub(zero.out_packets),
            in_bytes: counters.in_bytes.saturating_sub(zero.in_bytes),
            out_bytes: counters.out_bytes.saturating_sub(zero.out_bytes),
        }
    }

    /// What passes in a second.
    pub fn rates(&self, what: Counted) -> Counters {
        let estimate = self.estimates.get(what.row() as usize);
        estimate.map_or_else(Counters::default, Estimate::shown)
    }

    /// Zeroes it.
    pub fn zero(&mut self, what: Counted, counters: Counters) {
        self.zeros.write(what.row(), counters);
        self.begin(what, counters);
    }

    /// Begins anew, with counters that start at 0.
    pub fn forget(&mut self, what: Counted) {
        self.zeros.write(what.row(), Counters::default());
        self.begin(what, Counters::default());
    }

    /// Takes in what was counted so far. To be called every [`RATES_EVERY`](super::RATES_EVERY).
    pub fn tick(&mut self, what: Counted, counters: Counters) {
        if let Some(estimate) = self.estimates.get_mut(what.row() as usize) {
            estimate.tick(counters);
        }
    }

    fn begin(&mut self, what: Counted, counters: Counters) {
        if let Some(estimate) = self.estimates.get_mut(what.row() as usize) {
            *estimate = Estimate {
                last: Some(counters),
                ..Estimate::default()
            };
        }
    }
}

impl Counted {
    fn row(self) -> u32 {
        match self {
            Self::Server(index) => 2 * index,
            Self::Service(index) => 2 * index + 1,
        }
    }
}

/// IPVS's estimator (`ip_vs_est.c`): the last two seconds count a quarter, the estimate before
/// three quarters.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    /// `None` before the daemon's first tick.
    last: Option<Counters>,
    /// In 2^-10 connections or packets a second.
    connections: i64,
    in_packets: i64,
    out_packets: i64,
    /// In 2^-5 bytes a second.
    in_bytes: i64,
    out_bytes: i64,
}

impl Estimate {
    fn tick(&mut self, now: Counters) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        follow::<9>(&mut self.connections, last.connections, now.connections);
        follow::<9>(&mut self.in_packets, last.in_packets, now.in_packets);
        follow::<9>(&mut self.out_packets, last.out_packets, now.out_packets);
        follow::<4>(&mut self.in_bytes, last.in_bytes, now.in_bytes);
        follow::<4>(&mut self.out_bytes, last.out_bytes, now.out_bytes);
    }

    fn shown(&self) -> Counters {
        let packets = |estimate: i64| ((estimate + 0x1ff) >> 10) as u64;
        let bytes = |estimate: i64| ((estimate + 0xf) >> 5) as u64;
        Counters {
            connections: packets(self.connections),
            in_packets: packets(self.in_packets),
            out_packets: packets(self.out_packets),
            in_bytes: bytes(self.in_bytes),
            out_bytes: bytes(self.out_bytes),
        }
    }
}

/// A counter that went back is taken for one that did not change.
fn follow<const SCALE: u32>(estimate: &mut i64, last: u64, now: u64) {
    let rate = (now.saturating_sub(last) << SCALE) as i64;
    *estimate += (rate - *estimate) >> 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(connections: u64, bytes: u64) -> Counters {
        Counters {
            connections,
            in_packets: connections,
            in_bytes: bytes,
            ..Counters::default()
        }
    }

    fn shown(estimate: &Estimate) -> (u64, u64, u64) {
        let Counters {
            connections,
            in_packets,
            in_bytes,
            ..
        } = estimate.shown();
        (connections, in_packets, in_bytes)
    }

    #[test]
    fn rates_are_those_of_a_real_kernel() {
        // 10 SYNs of 40 bytes, seen on Linux 6.1 after the second tick; a server that had half
        // of them shows 19 bytes.
        let mut service = Estimate {
            last: Some(Counters::default()),
            ..Estimate::default()
        };
        let mut server = service;
        for _ in 0..2 {
            service.tick(counters(10, 400));
            server.tick(counters(5, 200));
        }
        assert_eq!(shown(&service), (1, 1, 37));
        assert_eq!(shown(&server), (0, 0, 19));
    }

    #[test]
    fn rates_follow_what_passes_and_fade_away() {
        let mut estimate = Estimate::default();
        for second in (0..200).step_by(2) {
            estimate.tick(counters(second * 1000, second * 1_000_000));
        }
        assert_eq!(shown(&estimate), (1000, 1000, 1_000_000));
        for _ in 0..100 {
            estimate.tick(counters(198_000, 198_000_000));
        }
        assert_eq!(shown(&estimate), (0, 0, 0));
    }

    #[test]
    fn a_counter_that_goes_back_gives_no_rate() {
        let mut estimate = Estimate::default();
        estimate.tick(counters(u64::MAX, u64::MAX));
        estimate.tick(counters(0, 0));
        assert_eq!(shown(&estimate), (0, 0, 0));
    }
}
