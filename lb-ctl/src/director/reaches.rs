//! How every server is reached, as far as is known.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::Ipv4Addr,
    ops::Bound::{Excluded, Unbounded},
};

use lb_network::Reach;

/// In how many rounds all next hops are asked whether they are still there.
const REFRESH_ROUNDS: usize = 50;
/// And those that do not answer.
const SILENT_ROUNDS: usize = 10;
/// No round asks more: thousands of ARP requests in a second are a nuisance to a network, and
/// many next hops wait a little longer.
const ASKED_AT_ONCE: usize = 100;

/// Servers that are named one by one when many cannot be reached.
const NAMED: usize = 10;

/// What is known of the servers' addresses.
#[derive(Default)]
pub struct Reaches {
    known: BTreeMap<Ipv4Addr, Known>,
    /// Of these, the ones whose next hop does not answer.
    missing: BTreeSet<Ipv4Addr>,
    round: usize,
    /// The last address that had its turn to be refreshed.
    asked: Option<Ipv4Addr>,
    /// And of the missing ones.
    asked_missing: Option<Ipv4Addr>,
}

struct Known {
    reach: Reach,
    /// The next hop does not answer any more, and `reach` is how it was reached last. The
    /// kernel also forgets neighbours that are well: packets go on to where they went.
    silent: bool,
}

impl Reaches {
    /// How an address is reached, as far as is known.
    pub fn get(&self, address: Ipv4Addr) -> Reach {
        self.known.get(&address).map_or_else(
            || Reach::None("not looked up yet".to_owned()),
            |known| known.reach.clone(),
        )
    }

    /// True where an address was reached once and its next hop has fallen silent.
    pub fn is_silent(&self, address: Ipv4Addr) -> bool {
        self.known.get(&address).is_some_and(|known| known.silent)
    }

    /// Of some addresses, those of which nothing is known.
    pub fn unknown_of(&self, addresses: Vec<Ipv4Addr>) -> Vec<Ipv4Addr> {
        let unknown = |address: &Ipv4Addr| !self.known.contains_key(address);
        let unknown: HashSet<_> = addresses.into_iter().filter(unknown).collect();
        unknown.into_iter().collect()
    }

    /// All addresses of which something is known.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.known.keys().copied().collect()
    }

    /// Learns how new addresses are reached.
    pub fn learn(&mut self, found: Vec<(Ipv4Addr, Reach)>) {
        let mut unreached = 0;
        for (address, reach) in found {
            if !reach.is_known() {
                unreached += 1;
                if unreached <= NAMED {
                    tracing::warn!("server {address} cannot be reached yet: {reach}");
                }
            }
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        if unreached > NAMED {
            let others = unreached - NAMED;
            tracing::warn!("and {others} more servers cannot be reached yet");
        }
    }

    /// As [`learn`](Self::learn), where some of them were reached so before.
    pub fn learn_after(&mut self, before: Vec<(Ipv4Addr, Reach)>, found: Vec<(Ipv4Addr, Reach)>) {
        self.learn(before);
        let (known, new) = found
            .into_iter()
            .partition(|(address, _)| self.known.contains_key(address));
        self.update(known);
        self.learn(new);
    }

    /// Takes in how addresses are reached now; gives those that are reached otherwise than
    /// before.
    pub fn update(&mut self, found: Vec<(Ipv4Addr, Reach)>) -> Vec<(Ipv4Addr, Reach)> {
        let mut changed = Vec::new();
        for (address, reach) in found {
            let Some(known) = self.known.get(&address) else {
                continue;
            };
            let silent = is_same_hop_fallen_silent(&known.reach, &reach);
            if silent == known.silent && (silent || reach == known.reach) {
                continue;
            }
            if silent {
                tracing::warn!("server {address}: {reach}; packets go where they went before");
                let reach = known.reach.clone();
                self.note(address, Known { reach, silent });
                continue;
            }
            if reach != known.reach {
                if changed.len() < NAMED {
                    tracing::info!("server {address}: {reach}");
                }
                changed.push((address, reach.clone()));
            }
            self.note(address, Known { reach, silent });
        }
        if changed.len() > NAMED {
            let others = changed.len() - NAMED;
            tracing::info!("and {others} more servers are reached otherwise than before");
        }
        changed
    }

    /// Forgets the addresses of which nobody asks any more.
    pub fn keep(&mut self, wanted: impl Fn(Ipv4Addr) -> bool) {
        self.known.retain(|&address, _| wanted(address));
        self.missing.retain(|&address| wanted(address));
    }

    fn note(&mut self, address: Ipv4Addr, known: Known) {
        if known.is_missing() {
            self.missing.insert(address);
        } else {
            self.missing.remove(&address);
        }
        self.known.insert(address, known);
    }

    /// The addresses whose next hops are to be asked whether they are there, so that each has
    /// its turn every few calls, and sooner where it does not answer. No traffic of the
    /// kernel's own does it: the packets that go to servers never meet its neighbour table.
    pub fn due(&mut self) -> Vec<Ipv4Addr> {
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
        let mut reaches = Reaches::default();
        let found = (0..servers).map(|n| {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
            (
                address,
                if n == 3 {
                    unresolved(address)
                } else {
                    hop(address)
                },
            )
        });
        reaches.learn(found.collect());
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
            let silent = turns[&Ipv4Addr::new(10, 0, 0, 3)];
            assert_eq!(silent, REFRESH_ROUNDS / SILENT_ROUNDS, "of {servers}");
        }
    }

    #[test]
    fn a_hundred_thousand_servers_are_not_asked_all_at_once() {
        let mut reaches = reaches(100_000);
        assert!((0..50).all(|_| reaches.due().len() <= 2 * ASKED_AT_ONCE));
    }
}
