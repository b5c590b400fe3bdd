//! The map `counters`: a row for each server on each CPU, and one for what earlier rooms counted.

use lb_common::server::Counters;

use crate::arrays::mapped::Mapped;

/// The rows of one room.
pub struct Tally<'a> {
    counters: &'a Mapped<Counters>,
    servers: u32,
}

impl<'a> Tally<'a> {
    /// Of a room that has this many servers.
    pub fn of(counters: &'a Mapped<Counters>, servers: u32) -> Self {
        Self { counters, servers }
    }

    /// A server's total.
    pub fn total(&self, server: u32) -> Counters {
        self.rows(server)
            .filter_map(|row| self.counters.read(row))
            .sum()
    }

    /// A server's rows.
    pub fn rows(&self, server: u32) -> impl Iterator<Item = u32> + use<> {
        (server..self.counters.entries()).step_by(self.servers as usize)
    }

    /// Writes all totals into the last row of each server in a larger room.
    pub fn carry_to(&self, larger: &Tally<'_>) {
        for server in 0..self.servers.min(larger.servers) {
            let total = self.total(server);
            if let Some(place) = larger.rows(server).last()
                && larger.counters.read(place) != Some(total)
            {
                larger.counters.write(place, total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_rooms_counted_is_carried_once_however_often_it_is_carried() {
        let count = |packets| Counters {
            in_packets: packets,
            ..Counters::default()
        };
        let (old, new) = (
            Mapped::private(2 * 3).unwrap(),
            Mapped::private(4 * 3).unwrap(),
        );
        let (from, to) = (Tally::of(&old, 2), Tally::of(&new, 4));
        // Server 1: on two CPUs, and in a room before.
        for (row, packets) in [(1, 10), (3, 20), (5, 5)] {
            old.write(row, count(packets));
        }
        // Packets are counted in both rooms for a while.
        new.write(1, count(7));
        from.carry_to(&to);
        old.write(1, count(11));
        from.carry_to(&to);
        from.carry_to(&to);
        assert_eq!(to.total(1), count(11 + 20 + 5 + 7));
        assert_eq!(to.total(0), count(0));
        assert_eq!(to.total(3), count(0));
    }
}
