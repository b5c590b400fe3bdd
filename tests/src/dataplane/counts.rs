//! The program's counters.

use lb_common::{drops::Drop, server::Load};

use super::{Bench, get, size::cpus};

/// A server's counters, of all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections opened.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Bytes from clients, from the IP header on.
    pub in_bytes: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl Bench {
    /// A server's traffic on all CPUs.
    #[must_use]
    pub fn traffic(&self, server: u32) -> Traffic {
        let mut sum = Traffic::default();
        for cpu in 0..cpus() {
            let counted = self.traffic_on(cpu, server);
            sum.connections += counted.connections;
            sum.in_packets += counted.in_packets;
            sum.in_bytes += counted.in_bytes;
            sum.out_packets += counted.out_packets;
            sum.out_bytes += counted.out_bytes;
        }
        sum
    }

    /// A server's traffic on one CPU.
    #[must_use]
    pub fn traffic_on(&self, cpu: u32, server: u32) -> Traffic {
        let row = cpu * self.maps().size.servers;
        let counters = get(&self.maps().counters, row + server);
        Traffic {
            connections: counters.connections,
            in_packets: counters.in_packets,
            in_bytes: counters.in_bytes,
            out_packets: counters.out_packets,
            out_bytes: counters.out_bytes,
        }
    }

    /// A server's active and inactive connections, as the program counts them.
    #[must_use]
    pub fn load(&self, server: u32) -> (u32, u32) {
        let Load { active, inactive } = Load::from_bits(self.load_bits(server));
        (active, inactive)
    }

    /// Adds to a server's counts of active and inactive connections, without connections.
    pub fn add_load(&mut self, server: u32, active: u32, inactive: u32) {
        let bits = self.load_bits(server) + u64::from(active) + (u64::from(inactive) << 32);
        self.maps().loads.write(server, bits);
    }

    /// A server's [`Load`] as it is stored.
    pub(super) fn load_bits(&self, server: u32) -> u64 {
        self.maps().loads.read(server).unwrap_or_default()
    }

    /// Packets dropped so far, by reason.
    #[must_use]
    pub fn drops(&self) -> [u64; Drop::ALL.len()] {
        std::array::from_fn(|reason| {
            let values = self
                .maps()
                .drops
                .get(&(reason as u32), 0)
                .expect("a count of drops");
            values.iter().sum()
        })
    }
}
