//! Claiming a slot for a new entry: an empty one, or that of a connection which gives way.

use super::{
    end,
    entry::{self, Entry},
    live,
    memory::SharedTable,
    places::Spot,
};
use crate::{
    layout::{slot::NO_SLOT, word::Word},
    schedule::Search,
    state::{self, tcp::TcpState, time::age},
};

/// Claims a slot for a new entry; [`NO_SLOT`] if there is none.
#[inline(always)]
pub fn claim<T: SharedTable>(table: T, key: &T::Constant, now: u32) -> u32 {
    let spot = table.spot(key);
    let index = empty(table, &spot);
    if index != NO_SLOT {
        return index;
    }
    give_up(table, &spot, now)
}

/// Claims an empty slot: of the first bucket, or of the emptier one where the first is more than
/// half full. [`NO_SLOT`] if there is none, or if other CPUs were faster.
#[inline(always)]
fn empty<T: SharedTable>(table: T, spot: &Spot) -> u32 {
    let free = free_slots(table, spot.first);
    if free.count_ones() >= T::SLOTS / 2 {
        let index = take(table, spot.first, free, spot.home);
        if index != NO_SLOT {
            return index;
        }
    }
    // Each packet of a connection in its second bucket costs one more cache miss.
    let others = free_slots(table, spot.second);
    let order = if others.count_ones() > free.count_ones() {
        [(spot.second, others), (spot.first, free)]
    } else {
        [(spot.first, free), (spot.second, others)]
    };
    for (bucket, free) in order {
        let index = take(table, bucket, free, spot.home);
        if index != NO_SLOT {
            return index;
        }
    }
    NO_SLOT
}

/// The empty slots of a bucket, a bit for each. Without branches: the verifier would follow each
/// of the 256 paths.
#[inline(always)]
fn free_slots<T: SharedTable>(table: T, bucket: u32) -> u32 {
    let Some(bucket) = table.bucket(bucket) else {
        return 0;
    };
    let mut free = 0;
    for place in 0..T::SLOTS {
        let word = Word::from_bits(table.word(table.slot(bucket, place)));
        let state = table.opaque(u64::from(word.state()));
        const _: () = assert!(state::FREE == 0);
        free |= (state.wrapping_sub(1) >> 63) << place;
    }
    free as u32
}

/// Claims one of the slots that were empty: the home of the key, or the next one.
#[inline(always)]
fn take<T: SharedTable>(table: T, bucket: u32, free: u32, home: u32) -> u32 {
    if free == 0 {
        return NO_SLOT;
    }
    let from_home = (free | free << T::SLOTS) >> home;
    let steps = (from_home & from_home.wrapping_neg())
        .wrapping_sub(1)
        .count_ones();
    let index = bucket * T::SLOTS + (home + steps) % T::SLOTS;
    match entry::read(table, index) {
        Some(entry) if entry.word.state() == state::FREE && entry::claim(table, &entry) => index,
        _ => NO_SLOT,
    }
}

/// Claims the best slot that can be had where [`empty`] found none: an empty one all the same, or
/// that of an expired connection, or that of the half-open connection that has waited longest.
/// An established connection never gives way. [`NO_SLOT`] where both buckets are full of those.
#[inline(always)]
fn give_up<T: SharedTable>(table: T, spot: &Spot, now: u32) -> u32 {
    let mut search = Dispensable {
        table,
        spot: *spot,
        now,
        best: NO_SLOT,
        word: Word::default(),
        waited: 0,
        claimed: NO_SLOT,
    };
    table.repeat(PASSES * 2 * T::SLOTS, &mut search);
    search.claimed
}

/// How often both buckets are searched: again only if another CPU was faster.
const PASSES: u32 = 16;

/// One pass over both buckets, and another one if the slot found has changed meanwhile.
struct Dispensable<T> {
    table: T,
    spot: Spot,
    now: u32,
    best: u32,
    /// As it was when it was found to be the best.
    word: Word,
    /// How long it has waited, in ticks, plus one; more for those that go first.
    waited: u32,
    claimed: u32,
}

const EXPIRED: u32 = 1 << 31;
const EMPTY: u32 = u32::MAX;

impl<T: SharedTable> Search for Dispensable<T> {
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let number = number % (2 * T::SLOTS);
        let index = self.spot.bucket(number / T::SLOTS) * T::SLOTS + number % T::SLOTS;
        if let Some(entry) = entry::read(self.table, index) {
            let waited = self.dispensable(&entry);
            if waited > self.waited {
                self.waited = waited;
                self.best = index;
                self.word = entry.word;
            }
        }
        number == 2 * T::SLOTS - 1 && self.finish()
    }
}

impl<T: SharedTable> Dispensable<T> {
    /// How readily an entry gives way; 0 if it must stay.
    #[inline(always)]
    fn dispensable(&self, entry: &Entry<T>) -> u32 {
        if entry.word.state() == state::FREE {
            return EMPTY;
        }
        if !state::is_connection(entry.word.state()) {
            return 0;
        }
        let waited = age(self.now, entry.word.stamp()) + 1;
        if !live::is_alive(self.table, entry, self.now) {
            waited | EXPIRED
        } else if entry.word.state() == TcpState::SynRecv as u8 {
            waited
        } else {
            0
        }
    }

    /// The end of a pass. True if the search is over: a slot is claimed, or there is none.
    #[inline(always)]
    fn finish(&mut self) -> bool {
        let Some(entry) = entry::read(self.table, self.best) else {
            return true;
        };
        let best = self.best;
        self.best = NO_SLOT;
        self.waited = 0;
        if entry.word != self.word {
            return false;
        }
        let claimed = if entry.word.state() == state::FREE {
            entry::claim(self.table, &entry)
        } else {
            end::end(self.table, &entry)
        };
        if claimed {
            self.claimed = best;
        }
        claimed
    }
}
