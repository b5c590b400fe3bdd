//! How the addresses of servers are reached, as far as is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Bound::{Excluded, Unbounded},
};

use lb_network::Reach;

use super::told::{Level, Told, first};

/// Each next hop is probed once in this many rounds.
const REFRESH_ROUNDS: usize = 50;
/// The same for those that do not answer.
const SILENT_ROUNDS: usize = 10;
/// No round probes more: thousands of ARP requests in a second are a nuisance to a network.
const ASKED_AT_ONCE: usize = 100;

/// What is known of the servers' addresses.
#[derive(Clone, Debug, Default)]
pub struct Reaches {
    known: BTreeMap<IpAddr, Known>,
    /// Of these, the ones whose next hop does not answer.
    missing: BTreeSet<IpAddr>,
    round: usize,
    /// The last address that had its turn to be probed.
    asked: Option<IpAddr>,
    /// The same for the missing ones.
    asked_missing: Option<IpAddr>,
}

#[derive(Clone, Debug)]
struct Known {
    reach: Reach,
    /// The next hop does not answer any more, and `reach` is how it was reached last. Packets
    /// still go there, because the kernel forgets neighbours that are well, too.
    silent: bool,
}

impl Reaches {
    /// How an address is reached, as far as is known.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Reach {
        self.known.get(&address).map_or_else(
            || Reach::None("not looked up yet".to_owned()),
            |known| known.reach.clone(),
        )
    }

    /// True where something is known of the address.
    #[must_use]
    pub fn knows(&self, address: IpAddr) -> bool {
        self.known.contains_key(&address)
    }

    /// True where the address is the director's own.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        let known = self.known.get(&address);
        known.is_some_and(|known| known.reach == Reach::Local)
    }

    /// True where an address was reached once and its next hop has fallen silent.
    #[must_use]
    pub fn is_silent(&self, address: IpAddr) -> bool {
        self.known.get(&address).is_some_and(|known| known.silent)
    }

    /// All addresses of which something is known.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.known.keys().copied().collect()
    }

    /// Learns how addresses are reached that were not known. Some of those that do not answer now
    /// were reached as `remembered` before the daemon started: packets still go there.
    pub fn learn(
        &mut self,
        remembered: Vec<(IpAddr, Reach)>,
        found: Vec<(IpAddr, Reach)>,
    ) -> Vec<Told> {
        for (address, reach) in remembered {
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        let (known, new): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(address, _)| self.knows(*address));
        let (_, mut lines) = self.update(known);
        let mut unreached = Vec::new();
        for (address, reach) in new {
            if !reach.is_known() {
                unreached.push(format!("server {address} cannot be reached yet: {reach}"));
            }
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        let unreached = first(unreached, "and", "more servers cannot be reached yet");
        lines.extend(Told::lines(Level::Warn, unreached));
        lines
    }

    /// Takes in how addresses are reached now; gives those that are reached otherwise than
    /// before.
    pub fn update(&mut self, found: Vec<(IpAddr, Reach)>) -> (Vec<(IpAddr, Reach)>, Vec<Told>) {
        let (mut changed, mut lines, mut fallen) = (Vec::new(), Vec::new(), Vec::new());
        for (address, reach) in found {
            let Some(known) = self.known.get(&address) else {
                continue;
            };
            let silent = is_same_hop_fallen_silent(&known.reach, &reach);
            if silent == known.silent && (silent || reach == known.reach) {
                continue;
            }
            if silent {
                fallen.push(format!(
                    "server {address}: {reach}; packets go where they went before"
                ));
                let reach = known.reach.clone();
                self.note(address, Known { reach, silent });
                continue;
            }
            if reach != known.reach {
                lines.push(format!("server {address}: {reach}"));
                changed.push((address, reach.clone()));
            }
            self.note(address, Known { reach, silent });
        }
        let fallen = first(fallen, "and", "more servers do not answer any more");
        let lines = first(
            lines,
            "and",
            "more servers are reached otherwise than before",
        );
        let fallen = Told::lines(Level::Warn, fallen);
        let all = fallen.into_iter().chain(Told::lines(Level::Info, lines));
        (changed, all.collect())
    }

    /// Forgets an address.
    pub fn forget(&mut self, address: IpAddr) {
        self.known.remove(&address);
        self.missing.remove(&address);
    }

    fn note(&mut self, address: IpAddr, known: Known) {
        if known.is_missing() {
            self.missing.insert(address);
        } else {
            self.missing.remove(&address);
        }
        self.known.insert(address, known);
    }

    /// The addresses whose next hops are to be probed now, so that each has its turn every few
    /// calls, and sooner where it does not answer. The kernel does not probe them by itself: the
    /// packets that go to servers never meet its neighbour table.
    pub fn due(&mut self) -> Vec<IpAddr> {
        self.round = (self.round + 1) % SILENT_ROUNDS;
        let turns = self.known.len().div_ceil(REFRESH_ROUNDS).min(ASKED_AT_ONCE);
        let mut due = Vec::new();
        let after = self.asked.map_or(Unbounded, Excluded);
        let from_there = self.known.range((after, Unbounded));
        for (&address, known) in from_there.chain(&self.known).take(turns) {
            self.asked = Some(address);
            if known.is_asked() && !known.is_missing() {
                due.push(address);
            }
        }
        let border = |round| self.missing.len() * round / SILENT_ROUNDS;
        let turns = (border(self.round + 1) - border(self.round)).min(ASKED_AT_ONCE);
        let after = self.asked_missing.map_or(Unbounded, Excluded);
        let from_there = self.missing.range((after, Unbounded));
        for &address in from_there.chain(&self.missing).take(turns) {
            self.asked_missing = Some(address);
            due.push(address);
        }
        due
    }
}

impl Known {
    fn is_asked(&self) -> bool {
        matches!(self.reach, Reach::Hop(_) | Reach::Unresolved { .. })
    }

    fn is_missing(&self) -> bool {
        self.is_asked() && (self.silent || matches!(self.reach, Reach::Unresolved { .. }))
    }
}

fn is_same_hop_fallen_silent(before: &Reach, now: &Reach) -> bool {
    match (before, now) {
        (
            Reach::Hop(hop),
            Reach::Unresolved {
                interface,
                next_hop,
            },
        ) => hop.interface_name == *interface && hop.next_hop == *next_hop,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn reaches(servers: u32) -> Reaches {
        let unresolved = |address| Reach::Unresolved {
            interface: "eth0".to_owned(),
            next_hop: address,
        };
        let hop = |address| {
            Reach::Hop(lb_network::Hop {
                interface: 2,
                interface_name: "eth0".to_owned(),
                kind: String::new(),
                source_mac: [2, 0, 0, 0, 0, 1],
                next_hop_mac: [2, 0, 0, 0, 0, 2],
                mtu: 1500,
                source: Ipv4Addr::UNSPECIFIED,
                next_hop: address,
            })
        };
        let found = (0..servers).map(|n| {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
            let reach = match n {
                3 => unresolved(address),
                _ => hop(address),
            };
            (address.into(), reach)
        });
        let mut reaches = Reaches::default();
        reaches.learn(Vec::new(), found.collect());
        reaches
    }

    #[test]
    fn every_next_hop_has_its_turn_and_who_does_not_answer_more_often() {
        for servers in [4, 49, 50, 51, 1000] {
            let mut reaches = reaches(servers);
            let mut turns = BTreeMap::new();
            for _ in 0..REFRESH_ROUNDS {
                for address in reaches.due() {
                    *turns.entry(address).or_insert(0) += 1;
                }
            }
            assert_eq!(turns.len() as u32, servers);
            let silent = turns[&IpAddr::from([10, 0, 0, 3])];
            assert_eq!(silent, REFRESH_ROUNDS / SILENT_ROUNDS, "of {servers}");
        }
    }

    #[test]
    fn a_hundred_thousand_servers_are_not_probed_all_at_once() {
        let mut reaches = reaches(100_000);
        assert!((0..50).all(|_| reaches.due().len() <= 2 * ASKED_AT_ONCE));
    }
}
