//! When next hops are probed. The kernel does not probe them by itself: the packets that go to
//! servers never meet its neighbour table.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use lb_network::Reach;

/// Each next hop is probed once in this many rounds of 100 ms. One that does not answer is probed
/// sooner at first.
const ROUNDS: u64 = 50;
/// When one that has just fallen silent is probed next. Every probe that is not answered doubles
/// this, up to [`ROUNDS`].
const SILENT_ROUNDS: u64 = 10;
/// No round probes more: thousands of ARP requests in a second are a nuisance to a network.
const AT_ONCE: usize = 100;

/// A next hop: the interface's index, and the address of the gateway or of the server itself.
type Key = (u32, Ipv4Addr);

/// When next hops are probed: each once, however many servers are behind it.
#[derive(Clone, Debug, Default)]
pub struct Probing {
    round: u64,
    hops: BTreeMap<Key, Hop>,
    /// All next hops, by the round in which they are probed.
    queue: BTreeSet<(u64, Key)>,
    /// How many next hops were ever new. They take turns, so that not all are probed at once.
    new: u64,
}

#[derive(Clone, Debug)]
struct Hop {
    /// The addresses that are reached through it.
    addresses: BTreeSet<IpAddr>,
    /// The round in which it is probed.
    due: u64,
    /// If it does not answer: how many rounds after this probe the next one is sent.
    silent: Option<u64>,
}

impl Probing {
    /// An address is reached so now, or would be if its next hop were not `silent`.
    pub fn note(&mut self, address: IpAddr, reach: &Reach, silent: bool) {
        let Some(key) = key(reach) else { return };
        let silent = silent || matches!(reach, Reach::Unresolved { .. });
        let (round, new) = (self.round, &mut self.new);
        let queue = &mut self.queue;
        let hop = self.hops.entry(key).or_insert_with(|| {
            *new += 1;
            let due = round + 1 + *new % ROUNDS;
            queue.insert((due, key));
            Hop {
                addresses: BTreeSet::new(),
                due,
                silent: None,
            }
        });
        hop.addresses.insert(address);
        match (silent, hop.silent) {
            (true, None) => {
                hop.silent = Some(SILENT_ROUNDS);
                let sooner = hop.due.min(round + SILENT_ROUNDS);
                hop.is_due(sooner, key, queue);
            }
            (false, Some(_)) => hop.silent = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// An address that was reached so is not any more.
    pub fn leave(&mut self, address: IpAddr, reach: &Reach) {
        let Some(key) = key(reach) else { return };
        let Some(hop) = self.hops.get_mut(&key) else {
            return;
        };
        hop.addresses.remove(&address);
    }

    /// An address behind each next hop that is to be probed now. To be called every 100 ms.
    pub fn due(&mut self) -> Vec<IpAddr> {
        self.round += 1;
        let mut due = Vec::new();
        while due.len() < AT_ONCE
            && let Some((when, _)) = self.queue.first()
            && *when <= self.round
            && let Some((_, key)) = self.queue.pop_first()
        {
            let Some(hop) = self.hops.get_mut(&key) else {
                continue;
            };
            let Some(&address) = hop.addresses.first() else {
                self.hops.remove(&key);
                continue;
            };
            due.push(address);
            let rounds = hop.silent.unwrap_or(ROUNDS);
            hop.silent = hop.silent.map(|rounds| (2 * rounds).min(ROUNDS));
            hop.is_due(self.round + rounds, key, &mut self.queue);
        }
        due
    }
}

impl Hop {
    fn is_due(&mut self, round: u64, key: Key, queue: &mut BTreeSet<(u64, Key)>) {
        let mut turn = (self.due, key);
        queue.remove(&turn);
        self.due = round;
        turn.0 = round;
        queue.insert(turn);
    }
}

/// The next hop, where there is one.
fn key(reach: &Reach) -> Option<Key> {
    match reach {
        Reach::Hop(hop) => Some((hop.interface, hop.next_hop)),
        Reach::Unresolved {
            interface,
            next_hop,
            ..
        } => Some((*interface, *next_hop)),
        Reach::Local | Reach::None(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: u32 = 3;

    fn address(n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a00_0000 + n)
    }

    fn through(next_hop: Ipv4Addr) -> Reach {
        Reach::Hop(lb_network::Hop {
            interface: 2,
            interface_name: "eth0".to_owned(),
            kind: String::new(),
            source_mac: [2, 0, 0, 0, 0, 1],
            next_hop_mac: [2, 0, 0, 0, 0, 2],
            mtu: 1500,
            source: Ipv4Addr::UNSPECIFIED,
            next_hop,
        })
    }

    /// So many servers, each of which is its own next hop.
    fn probing(servers: u32) -> Probing {
        let mut probing = Probing::default();
        for n in 0..servers {
            probing.note(address(n).into(), &through(address(n)), n == SILENT);
        }
        probing
    }

    /// How often each address is probed in so many rounds.
    fn turns(probing: &mut Probing, rounds: u64) -> BTreeMap<IpAddr, u64> {
        let mut turns = BTreeMap::new();
        for _ in 0..rounds {
            for address in probing.due() {
                *turns.entry(address).or_insert(0) += 1;
            }
        }
        turns
    }

    #[test]
    fn every_next_hop_is_probed_once_in_fifty_rounds() {
        for servers in [1, 4, 49, 50, 51, 1000] {
            let mut probing = probing(servers);
            turns(&mut probing, 4 * ROUNDS);
            let turns = turns(&mut probing, 10 * ROUNDS);
            assert_eq!(turns.len() as u32, servers);
            assert!(turns.values().all(|&turns| turns == 10), "of {servers}");
        }
    }

    #[test]
    fn who_has_just_fallen_silent_is_probed_sooner_and_then_less_and_less_often() {
        let (mut probing, server) = (probing(1), address(0));
        turns(&mut probing, 4 * ROUNDS);
        probing.note(server.into(), &through(server), true);
        let rounds = (1..200).filter(|_| !probing.due().is_empty());
        let probed: Vec<_> = rounds.collect();
        let gaps: Vec<_> = probed.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(probed[0] <= SILENT_ROUNDS);
        assert_eq!(gaps, [10, 20, 40, 50, 50]);
        probing.note(server.into(), &through(server), false);
        assert_eq!(turns(&mut probing, 10 * ROUNDS)[&server.into()], 10);
    }

    #[test]
    fn a_hundred_servers_behind_one_gateway_are_one_next_hop() {
        let mut probing = Probing::default();
        for n in 0..100 {
            probing.note(address(n).into(), &through(address(200)), false);
        }
        assert_eq!(turns(&mut probing, 10 * ROUNDS).values().sum::<u64>(), 10);
        // All but one are removed, and then this one is reached directly.
        for n in 0..99 {
            probing.leave(address(n).into(), &through(address(200)));
        }
        assert_eq!(turns(&mut probing, ROUNDS)[&address(99).into()], 1);
        probing.leave(address(99).into(), &through(address(200)));
        assert!(turns(&mut probing, 2 * ROUNDS).is_empty());
        assert!(probing.hops.is_empty() && probing.queue.is_empty());
    }

    #[test]
    fn a_hundred_thousand_servers_are_not_probed_all_at_once() {
        let mut probing = probing(100_000);
        assert!((0..50).all(|_| probing.due().len() <= AT_ONCE));
    }
}
