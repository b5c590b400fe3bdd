//! Which next hops on the way to clients are asked, and when. Pure: what the packet path has noted
//! and what the kernel knows come in, whose turn it is goes out.
//!
//! Anybody can make the packet path note hops, with packets from made-up addresses. So those that
//! have answered have a share of their own, which others cannot take from them, and are remembered
//! when the packet path has forgotten them.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

/// One that answers is asked so often. Turns come every second, sometimes a little early: this is
/// the fifth.
const EVERY: Duration = Duration::from_millis(4500);
const TURNS: usize = 5;
/// One that has fallen silent is asked at each turn, if there are not more.
const MOST_SILENT: usize = 10;
/// One that was asked so often since it answered last is forgotten.
const GIVEN_UP: u32 = 60;
/// How many that have answered are remembered: as many as the packet path does.
const MOST_KNOWN: usize = 1024;

/// How many that never answered are asked at a turn. The kernel keeps an entry for each of them for
/// a minute, and has room for 512 neighbours before it throws others out.
const MOST_NEW_ASKED: usize = 5;
/// How often one of them is asked. Each time, the kernel sends three ARP requests.
const TRIES: u32 = 3;
/// One that has not answered after so long is forgotten, whether it was asked or not.
const TOO_LATE: Duration = Duration::from_secs(60);
/// Of how many of them the kernel's knowledge is looked up at a turn.
const MOST_LOOKED_UP: usize = 256;

/// The index of the interface that a next hop is behind, and its address.
pub type Hop = (u32, Ipv4Addr);

/// What is known of the next hops.
#[derive(Default)]
pub struct Turns {
    /// Those that have answered.
    known: HashMap<Hop, Known>,
    /// Those that never did, and that the packet path has noted.
    new: HashMap<Hop, New>,
    /// How many new ones there have been.
    count: u64,
}

struct Known {
    /// When the packet path was last found to have it.
    noted: Instant,
    asked: Option<Instant>,
    /// How often it was asked since it answered last.
    tries: u32,
    silent: bool,
}

struct New {
    number: u64,
    since: Instant,
    looked_up: Option<Instant>,
    tries: u32,
}

/// Whose turn it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Those that are asked by ARP.
    pub ask: Vec<Hop>,
    /// Those of which only the kernel is asked.
    pub look_up: Vec<Hop>,
}

impl Turns {
    /// Takes in all hops that the packet path has noted.
    pub fn note(&mut self, noted: Vec<Hop>, now: Instant) {
        let there: HashSet<Hop> = noted.iter().copied().collect();
        self.new.retain(|hop, _| there.contains(hop));
        for hop in noted {
            if let Some(known) = self.known.get_mut(&hop) {
                known.noted = now;
            } else {
                let new = New {
                    number: self.count,
                    since: now,
                    looked_up: None,
                    tries: 0,
                };
                self.new.entry(hop).or_insert(new);
                self.count += 1;
            }
        }
    }

    /// Takes in whether a hop has answered, if the kernel knows. True if it is forgotten now.
    pub fn hear(&mut self, hop: Hop, answered: Option<bool>, now: Instant) -> bool {
        if answered == Some(true) {
            self.new.remove(&hop);
            let known = self.known.entry(hop).or_insert(Known {
                noted: now,
                asked: None,
                tries: 0,
                silent: false,
            });
            (known.tries, known.silent) = (0, false);
            if self.known.len() > MOST_KNOWN {
                let least = first(self.known.iter(), 1, |known| (!known.silent, known.noted));
                for hop in least {
                    self.known.remove(&hop);
                }
            }
            return false;
        }
        if let Some(known) = self.known.get_mut(&hop) {
            known.silent |= answered == Some(false);
            return known.tries >= GIVEN_UP && self.known.remove(&hop).is_some();
        }
        let is_over = |new: &New| new.tries >= TRIES || now - new.since >= TOO_LATE;
        self.new.get(&hop).is_some_and(is_over) && self.new.remove(&hop).is_some()
    }

    /// Those whose turn it is now. To be called every second.
    pub fn due(&mut self, now: Instant) -> Due {
        // A part of those that answer at each turn, so that all are asked in time.
        let share = self.known.len().div_ceil(TURNS);
        let answering = self.known.iter().filter(|(_, known)| {
            !known.silent && known.asked.is_none_or(|asked| now - asked >= EVERY)
        });
        let mut ask = first(answering, share, |known| known.asked);
        let silent = self.known.iter().filter(|(_, known)| known.silent);
        ask.extend(first(silent, MOST_SILENT, |known| known.asked));
        for hop in &ask {
            if let Some(known) = self.known.get_mut(hop) {
                known.asked = Some(now);
                known.tries += 1;
            }
        }
        // The newest first: others have had their turn, unless there are too many.
        let untiring = self.new.iter().filter(|(_, new)| new.tries < TRIES);
        let new = first(untiring, MOST_NEW_ASKED, |new| {
            (new.tries, Reverse(new.number))
        });
        for hop in &new {
            if let Some(new) = self.new.get_mut(hop) {
                new.tries += 1;
                new.looked_up = Some(now);
            }
        }
        ask.extend(new);
        let others = self.new.iter();
        let others = others.filter(|(_, new)| new.looked_up.is_none_or(|before| before < now));
        let look_up = first(others, MOST_LOOKED_UP, |new| new.looked_up);
        for hop in &look_up {
            if let Some(new) = self.new.get_mut(hop) {
                new.looked_up = Some(now);
            }
        }
        Due { ask, look_up }
    }
}

/// The first of these hops, in this order.
fn first<'a, T: 'a, K: Ord>(
    hops: impl Iterator<Item = (&'a Hop, &'a T)>,
    most: usize,
    order: impl Fn(&T) -> K,
) -> Vec<Hop> {
    let mut hops: Vec<_> = hops.map(|(hop, it)| (order(it), *hop)).collect();
    hops.sort_unstable();
    hops.into_iter().take(most).map(|(_, hop)| hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network of made-up and of real hops.
    struct Network {
        turns: Turns,
        start: Instant,
        second: u64,
        /// In the map of the packet path, which has room for 1024.
        noted: Vec<Hop>,
        /// Those that answer ARP.
        real: HashSet<Hop>,
        /// When each was asked.
        asked: HashMap<Hop, Vec<u64>>,
    }

    impl Network {
        fn new(real: u32) -> Self {
            let real: HashSet<_> = (0..real).map(|number| hop(1, number)).collect();
            Self {
                turns: Turns::default(),
                start: Instant::now(),
                second: 0,
                noted: real.iter().copied().collect(),
                real,
                asked: HashMap::new(),
            }
        }

        /// A second in which packets from so many new addresses come.
        fn second(&mut self, new: u32) {
            let now = self.start + Duration::from_secs(self.second);
            for number in 0..new {
                let count = self.second as u32 * new + number;
                self.noted.push(hop(2, count));
            }
            let more = self.noted.len().saturating_sub(1024);
            self.noted.drain(..more);
            self.turns.note(self.noted.clone(), now);
            let due = self.turns.due(now);
            for &hop in due.ask.iter().chain(&due.look_up) {
                if due.ask.contains(&hop) {
                    self.asked.entry(hop).or_default().push(self.second);
                }
                let was_asked = self.asked.contains_key(&hop);
                let answered = match self.real.contains(&hop) {
                    true => Some(true),
                    false => was_asked.then_some(false),
                };
                if self.turns.hear(hop, answered, now) {
                    self.noted.retain(|noted| *noted != hop);
                }
            }
            self.second += 1;
        }

        fn asked(&self, hop: Hop) -> &[u64] {
            self.asked.get(&hop).map_or(&[], Vec::as_slice)
        }
    }

    fn hop(interface: u32, number: u32) -> Hop {
        (interface, Ipv4Addr::from_bits(10 << 24 | number))
    }

    #[test]
    fn one_that_answers_is_asked_every_five_seconds_whatever_else_is_noted() {
        // A trickle, and a flood that pushes everything else out of the packet path's map.
        for flood in [0, 15, 2000] {
            let mut network = Network::new(20);
            network.second(0);
            for _ in 0..60 {
                network.second(flood);
            }
            for number in 0..20 {
                let asked = network.asked(hop(1, number));
                // The first time, nothing was known of it.
                let late = asked[1..].windows(2).find(|pair| pair[1] - pair[0] != 5);
                assert_eq!(late, None, "{flood}: {asked:?}");
                assert!(asked.len() >= 11, "{flood}: {asked:?}");
            }
        }
    }

    #[test]
    fn many_that_answer_are_all_asked_in_time_and_not_at_once() {
        let mut network = Network::new(1000);
        for _ in 0..60 {
            network.second(0);
        }
        let last: Vec<u64> = (0..1000)
            .filter_map(|number| network.asked(hop(1, number)).last().copied())
            .collect();
        assert_eq!(last.len(), 1000);
        for second in 55..60 {
            assert_eq!(last.iter().filter(|&&it| it == second).count(), 200);
        }
    }

    #[test]
    fn one_that_never_answers_is_asked_a_few_times_and_a_few_at_a_time() {
        let mut network = Network::new(0);
        for _ in 0..60 {
            network.second(15);
        }
        assert!(network.asked.values().all(|asked| asked.len() <= 3));
        let all: usize = network.asked.values().map(Vec::len).sum();
        assert_eq!(all, 60 * MOST_NEW_ASKED);
        // When no more come, the others are forgotten, too.
        for _ in 0..70 {
            network.second(0);
        }
        assert_eq!((network.turns.new.len(), network.turns.known.len()), (0, 0));
    }

    #[test]
    fn one_that_falls_silent_is_asked_every_second_for_a_minute() {
        let mut network = Network::new(1);
        let gateway = hop(1, 0);
        for _ in 0..11 {
            network.second(15);
        }
        assert_eq!(network.asked(gateway), [1, 6]);
        network.real.clear();
        for _ in 0..80 {
            network.second(15);
        }
        let asked = network.asked(gateway);
        assert_eq!(asked[2..6], [11, 12, 13, 14]);
        assert!((60..=65).contains(&asked.len()), "{asked:?}");
        assert_eq!(network.turns.known.len(), 0);
    }

    #[test]
    fn of_too_many_the_silent_are_forgotten_and_then_those_noted_longest_ago() {
        let mut turns = Turns::default();
        let start = Instant::now();
        for number in 0..1025 {
            let now = start + Duration::from_secs(u64::from(number));
            turns.hear(hop(1, number), Some(true), now);
        }
        assert_eq!(turns.known.len(), MOST_KNOWN);
        assert!(!turns.known.contains_key(&hop(1, 0)));
        turns.hear(hop(1, 500), Some(false), start);
        turns.hear(hop(1, 2000), Some(true), start);
        assert!(!turns.known.contains_key(&hop(1, 500)));
        assert!(turns.known.contains_key(&hop(1, 1)));
    }
}
