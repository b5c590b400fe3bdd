//! A connection table in ordinary memory. What its words are made of, the test target says in
//! `crate::atomic`: the standard library's atomics, or `loom`'s.

use lb_common::{
    layout::{key::Key, wide::WideEntry},
    server::Load,
    state,
    state::timeouts::{DEFAULT_TIMEOUTS, Timeouts},
    table::{
        entry::{self, Entry},
        live,
        memory::{Constant, SharedTable, Table},
        places::Spot,
        steps::Steps,
    },
};

use crate::atomic::{AtomicU64, Ordering, fence};

/// A constant part of an entry as a row of words.
pub trait Words: Constant + std::fmt::Debug {
    type Row: AsRef<[u64]>;
    fn row(&self) -> Self::Row;
    fn of(row: &[u64]) -> Self;

    /// Where it may be stored in a table of so many buckets.
    fn spot(&self, buckets: u32) -> Spot {
        let mut compared = self.row().as_ref().to_vec();
        // Without the server.
        for word in &mut compared {
            *word &= u64::from(u32::MAX);
        }
        let sum = compared
            .iter()
            .fold(7u64, |sum, word| sum.wrapping_mul(31).wrapping_add(*word));
        Spot {
            first: (sum % u64::from(buckets)) as u32,
            second: (sum / 7 % u64::from(buckets)) as u32,
            home: 0,
        }
    }
}

impl Words for Key {
    type Row = [u64; 2];

    fn row(&self) -> [u64; 2] {
        [self.addresses, self.ports]
    }

    fn of(row: &[u64]) -> Self {
        let [addresses, ports] = row[..] else {
            unreachable!("a key has two words")
        };
        Self { addresses, ports }
    }
}

impl Words for WideEntry {
    type Row = [u64; 10];

    fn row(&self) -> [u64; 10] {
        let (key, new) = (self.key, self.translation);
        let [a, b] = key.source;
        let [c, d] = key.destination;
        let [e, f] = new.source;
        let [g, h] = new.destination;
        [a, b, c, d, key.ports, e, f, g, h, new.ports]
    }

    fn of(row: &[u64]) -> Self {
        let [a, b, c, d, ports, e, f, g, h, new_ports] = row[..] else {
            unreachable!("a wide entry has ten words")
        };
        let mut entry = Self::default();
        entry.key.source = [a, b];
        entry.key.destination = [c, d];
        entry.key.ports = ports;
        entry.translation.source = [e, f];
        entry.translation.destination = [g, h];
        entry.translation.ports = new_ports;
        entry
    }
}

/// A table with `SLOTS` slots in a bucket.
pub struct Memory<C, const SLOTS: u32> {
    slots: Vec<Slot>,
    loads: Vec<AtomicU64>,
    recounted: AtomicU64,
    tally: AtomicU64,
    timeouts: Timeouts,
    _constant: std::marker::PhantomData<C>,
}

struct Slot {
    constant: Vec<AtomicU64>,
    word: AtomicU64,
    route: AtomicU64,
}

/// Jiffies in a second: a tick is a second.
const HZ: u32 = 4;

impl<C: Words, const SLOTS: u32> Memory<C, SLOTS> {
    pub fn new(buckets: u32, servers: u32, zero: C) -> Self {
        let slot = |_| Slot {
            constant: zero
                .row()
                .as_ref()
                .iter()
                .map(|_| AtomicU64::new(0))
                .collect(),
            word: AtomicU64::new(0),
            route: AtomicU64::new(0),
        };
        Self {
            slots: (0..buckets * SLOTS).map(slot).collect(),
            loads: (0..servers).map(|_| AtomicU64::new(0)).collect(),
            recounted: AtomicU64::new(0),
            tally: AtomicU64::new(0),
            timeouts: Timeouts::of(&DEFAULT_TIMEOUTS, HZ),
            _constant: std::marker::PhantomData,
        }
    }

    /// Stores a stamp, as the packet path does: without a look at the rest of the word.
    pub fn stamp(&self, index: u32, now: u32) {
        let word = &self.slots[index as usize].word;
        let low = |bits| bits & !u64::from(u32::MAX) | u64::from(now);
        let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| Some(low(bits)));
    }

    /// Names the server whose connections are being counted anew.
    pub fn recount(&self, server: Option<u32>) {
        let named = server.map_or(0, |server| u64::from(server) + 1);
        self.recounted.store(named, Ordering::Release);
    }

    /// Sets the new count to 0.
    pub fn forget_tally(&self) {
        self.tally.store(0, Ordering::Release);
    }

    pub fn load(&self, server: u32) -> u64 {
        self.loads[server as usize].load(Ordering::Acquire)
    }

    pub fn tallied(&self) -> u64 {
        self.tally.load(Ordering::Acquire)
    }

    /// The live entry with this key.
    pub fn find(&self, key: &C) -> Option<Entry<&Self>> {
        entry::find(self, key)
    }

    /// Everything that is stored.
    pub fn entries(&self) -> Vec<Entry<&Self>> {
        (0..self.slots.len() as u32)
            .filter_map(|index| entry::read(self, index))
            .filter(|entry| entry.word.state() != state::FREE)
            .collect()
    }

    /// Checks what must hold whenever nobody changes the table: no slot is owned, no two entries
    /// have the same key, each server's count is the number of its connections, each reverse
    /// entry is that of a connection, and it is settled only if that is established. Gives the
    /// connections.
    pub fn check(&self) -> Vec<Entry<&Self>> {
        let entries = self.entries();
        let mut loads = vec![0u64; self.loads.len()];
        for (number, entry) in entries.iter().enumerate() {
            let state = entry.word.state();
            assert!(
                state::is_live(state),
                "slot {} has the state {state:#x}",
                entry.index
            );
            for other in &entries[..number] {
                let differs = other.constant.difference(&entry.constant) != 0;
                assert!(differs, "twins: slots {} and {}", other.index, entry.index);
            }
            if state::is_connection(state) {
                let load = &mut loads[entry.constant.server() as usize];
                *load = load.wrapping_add(Load::one(state::is_active(state)));
            }
        }
        for (server, load) in (0..).zip(loads) {
            let counted = Load::from_bits(self.load(server));
            assert_eq!(
                counted,
                Load::from_bits(load),
                "the count of server {server}"
            );
        }
        let (reverses, connections): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| state::is_reverse(entry.word.state()));
        for reverse in reverses {
            let owner = connections.iter().find(|connection| {
                live::reverse_of(self, connection).is_some_and(|r| r.index == reverse.index)
            });
            let owner = owner.unwrap_or_else(|| panic!("slot {} was left behind", reverse.index));
            let established = state::tcp::TcpState::Established as u8;
            let settled = reverse.word.flags() & lb_common::layout::word::FLAG_SETTLED != 0;
            assert!(
                !settled
                    || matches!(owner.word.state(), state::UDP)
                    || owner.word.state() == established,
                "settled in the state {:#x}",
                owner.word.state()
            );
        }
        connections
    }
}

impl<C: Words, const SLOTS: u32> Table for &Memory<C, SLOTS> {
    type Constant = C;
    type Bucket = u32;
    type Slot = u32;
    const SLOTS: u32 = SLOTS;

    fn spot(self, key: &C) -> Spot {
        key.spot(self.slots.len() as u32 / SLOTS)
    }

    fn bucket(self, number: u32) -> Option<u32> {
        ((number as usize) < self.slots.len() / SLOTS as usize).then_some(number)
    }

    fn slot(self, bucket: u32, place: u32) -> u32 {
        bucket * SLOTS + place
    }

    fn word(self, slot: u32) -> u64 {
        self.slots[slot as usize].word.load(Ordering::Acquire)
    }

    fn constant(self, slot: u32) -> C {
        let words = self.slots[slot as usize].constant.iter();
        C::of(
            &words
                .map(|word| word.load(Ordering::Acquire))
                .collect::<Vec<_>>(),
        )
    }

    fn route(self, slot: u32) -> u64 {
        self.slots[slot as usize].route.load(Ordering::Acquire)
    }

    fn timeout(self, state: u8) -> u32 {
        self.timeouts.ticks(state)
    }
}

impl<C: Words, const SLOTS: u32> SharedTable for &Memory<C, SLOTS> {
    fn replace(self, slot: u32, old: u64, new: u64) -> bool {
        fence(Ordering::SeqCst);
        let word = &self.slots[slot as usize].word;
        let replaced = word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        fence(Ordering::SeqCst);
        replaced.is_ok()
    }

    fn store(self, slot: u32, word: u64) {
        fence(Ordering::SeqCst);
        self.slots[slot as usize].word.swap(word, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    fn write(self, slot: u32, constant: &C, route: u64) {
        let slot = &self.slots[slot as usize];
        for (word, value) in slot.constant.iter().zip(constant.row().as_ref()) {
            word.store(*value, Ordering::Release);
        }
        slot.route.store(route, Ordering::Release);
    }

    fn replace_route(self, slot: u32, old: u64, new: u64) -> bool {
        let route = &self.slots[slot as usize].route;
        route
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn count(self, server: u32, change: u64) {
        self.loads[server as usize].fetch_add(change, Ordering::AcqRel);
    }

    fn recounted(self) -> Option<u32> {
        let named = self.recounted.load(Ordering::Acquire);
        (named as u32).checked_sub(1)
    }

    fn tally(self, change: u64) {
        self.tally.fetch_add(change, Ordering::AcqRel);
    }

    fn fence(self) {
        fence(Ordering::SeqCst);
    }
}

impl<C: Words, const SLOTS: u32> Steps for &Memory<C, SLOTS> {
    fn answered_by(self, reverse: &Entry<Self>) -> Option<Entry<Self>> {
        let all = (0..self.slots.len() as u32).filter_map(|index| entry::read(self, index));
        all.into_iter().find(|entry| {
            state::is_connection(entry.word.state())
                && entry.constant.is_answered_by(&reverse.constant)
        })
    }
}
