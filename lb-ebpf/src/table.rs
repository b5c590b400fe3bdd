//! The connection table: finding, opening, stepping and ending connections.
//!
//! The protocol of a slot's life stands in `lb_common::connection`. The daemon follows it
//! too, from user space, on the same memory.

use lb_common::{
    connection::{
        BUCKET_SLOTS, Direction, FLAG_NAT, Forward, Key, NO_SLOT, Places, STATE_CLAIMED,
        STATE_FREE, STATE_REVERSE, Slot, Word, age, is_active, is_connection,
    },
    schedule::Search,
    server::Load,
    tcp::{self, TcpState},
};

use crate::{atomic, constants, maps, repeat::repeat, verifier};

/// What a lookup found. The slot may change under the reader; `word` is as it was read.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Where it stands.
    pub slot: *mut Slot,
    /// The same as a number, as reverse entries refer to it.
    pub index: u32,
    /// State and time.
    pub word: Word,
}

impl Entry {
    /// The second half of its value.
    #[inline(always)]
    pub fn route(&self) -> u64 {
        // SAFETY: the slot lies in a map; an aligned word.
        unsafe { (*self.slot).route }
    }
}

/// The live entry of this key.
#[inline(always)]
pub fn find(key: &Key, places: &Places) -> Option<Entry> {
    let home = places.home();
    match search(places.first(), home, key) {
        Some(entry) => Some(entry),
        None => search(places.second(), home, key),
    }
}

#[inline(always)]
fn search(bucket: u32, home: u32, key: &Key) -> Option<Entry> {
    let slots = maps::CONNECTIONS.get_ptr_mut(bucket)?.cast::<Slot>();
    for step in 0..BUCKET_SLOTS {
        let place = (home + step) & (BUCKET_SLOTS - 1);
        // SAFETY: the place lies in the bucket; all fields are aligned words. The key is read
        // again after the word: a slot that changed hands in between does not pass.
        unsafe {
            let slot = slots.add(place as usize);
            if (*slot).key.addresses != key.addresses || (*slot).key.ports != key.ports {
                continue;
            }
            let word = Word::from_bits(atomic::load(&raw const (*slot).word));
            if word.state == STATE_FREE
                || word.state == STATE_CLAIMED
                || core::ptr::read_volatile(&raw const (*slot).key.addresses) != key.addresses
            {
                continue;
            }
            return Some(Entry {
                slot,
                index: bucket * BUCKET_SLOTS + place,
                word,
            });
        }
    }
    None
}

/// The entry at an index, whatever its state.
#[inline(always)]
pub fn at(index: u32) -> Option<Entry> {
    let slots = maps::CONNECTIONS
        .get_ptr_mut(index / BUCKET_SLOTS)?
        .cast::<Slot>();
    // SAFETY: as in `search`.
    unsafe {
        let slot = slots.add((index % BUCKET_SLOTS) as usize);
        Some(Entry {
            slot,
            index,
            word: Word::from_bits(atomic::load(&raw const (*slot).word)),
        })
    }
}

/// Says that a packet passed now.
#[inline(always)]
pub fn stamp(entry: &Entry, now: u32) {
    // SAFETY: the stamp is the lower half of the word (little endian). A plain store beside
    // the compare-and-swap of others is harmless: at worst, it dates a slot that was freed.
    unsafe { atomic::store_low(&raw mut (*entry.slot).word, now) }
}

/// True where no packet has passed for longer than the state allows.
#[inline(always)]
pub fn expired(word: &Word, now: u32) -> bool {
    match maps::SETTINGS.get_ptr(0) {
        // SAFETY: an aligned word of a map.
        Some(settings) => unsafe {
            let timeouts = (&raw const (*settings).timeouts).cast::<u32>();
            age(now, word.stamp) > *timeouts.add(verifier::low_nibble(word.state))
        },
        None => false,
    }
}

/// Steps a TCP connection, and moves it between its server's counts where the step does.
#[inline(never)]
pub fn step(slot: *mut Slot, direction: Direction, flags: u8, server: u32) {
    // SAFETY: callers pass slots of the table.
    let shared = unsafe { &raw mut (*slot).word };
    for _ in 0..TRIES {
        // SAFETY: as above.
        let bits = unsafe { atomic::load(shared) };
        let old = Word::from_bits(bits);
        let state = tcp::step(direction, flags, old.state);
        if state == old.state || !is_connection(old.state) {
            return;
        }
        let new = old.with_state(state).bits();
        // SAFETY: as above.
        if unsafe { atomic::compare_exchange(shared, bits, new) } {
            let (was, is) = (is_active(old.state), is_active(state));
            if was != is {
                load(server, Load::transition(was, is));
            }
            return;
        }
    }
}

/// How often a compare-and-swap is tried before giving way: another CPU steps the same
/// connection at the same moment.
const TRIES: u32 = 4;

/// Adds to a server's counts of connections.
#[inline(always)]
pub fn load(server: u32, change: u64) {
    if let Some(load) = maps::LOADS.get_ptr_mut(server) {
        // SAFETY: a word of a map.
        unsafe { atomic::add(load, change) };
    }
}

/// Takes a free slot for this key, or else one that may be given up: an expired one, or the
/// half-open connection that has waited longest. Established connections are never given up.
/// [`NO_SLOT`] where there is none. The slot is claimed: nobody else touches it.
#[inline(never)]
pub fn claim(places: &Places, now: u32) -> u32 {
    let [first, second] = [places.first(), places.second()];
    let home = places.home();
    let used = occupied(first);
    // Looking at the second bucket costs a cache miss; it matters only when the first fills.
    let second_first = used > BUCKET_SLOTS / 2 && occupied(second) < used;
    let order = if second_first {
        [second, first]
    } else {
        [first, second]
    };
    let index = claim_free(order[0], home);
    if index != NO_SLOT {
        return index;
    }
    let index = claim_free(order[1], home);
    if index != NO_SLOT {
        return index;
    }
    let index = give_up(first, now);
    if index != NO_SLOT {
        return index;
    }
    give_up(second, now)
}

#[inline(always)]
fn occupied(bucket: u32) -> u32 {
    let mut used = 0;
    for place in 0..BUCKET_SLOTS {
        if let Some(entry) = at(bucket * BUCKET_SLOTS + place) {
            used += u32::from(entry.word.state != STATE_FREE);
        }
    }
    used
}

#[inline(always)]
fn claim_free(bucket: u32, home: u32) -> u32 {
    let mut search = FreeSlot {
        bucket,
        home,
        found: NO_SLOT,
    };
    repeat(BUCKET_SLOTS, &mut search);
    search.found
}

struct FreeSlot {
    bucket: u32,
    home: u32,
    found: u32,
}

impl Search for FreeSlot {
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let index = self.bucket * BUCKET_SLOTS + (self.home + number) % BUCKET_SLOTS;
        let Some(entry) = at(index) else {
            return true;
        };
        if entry.word.state != STATE_FREE || !replace(&entry, STATE_CLAIMED) {
            return false;
        }
        self.found = index;
        true
    }
}

#[inline(always)]
fn give_up(bucket: u32, now: u32) -> u32 {
    let mut search = Dispensable {
        bucket,
        now,
        found: NO_SLOT,
        waited: 0,
    };
    repeat(BUCKET_SLOTS, &mut search);
    match at(search.found) {
        Some(entry) if end(&entry) => search.found,
        _ => NO_SLOT,
    }
}

struct Dispensable {
    bucket: u32,
    now: u32,
    found: u32,
    waited: u32,
}

impl Search for Dispensable {
    #[inline(always)]
    fn step(&mut self, place: u32) -> bool {
        let index = self.bucket * BUCKET_SLOTS + place % BUCKET_SLOTS;
        let Some(entry) = at(index) else {
            return true;
        };
        let Word { state, stamp, .. } = entry.word;
        if !is_connection(state) {
            return false;
        }
        // Age 0 is possible, hence "plus one"; what has expired goes before all others.
        let mut waited = age(self.now, stamp) + 1;
        if expired(&entry.word, self.now) {
            waited |= 1 << 31;
        } else if state != TcpState::SynRecv as u8 {
            return false;
        }
        if waited > self.waited {
            self.waited = waited;
            self.found = index;
        }
        false
    }
}

/// Ends a connection: afterwards its slot is claimed by the caller, its reverse entry is free
/// and its server has forgotten it. False where somebody else was faster.
#[inline(always)]
pub fn end(entry: &Entry) -> bool {
    if !is_connection(entry.word.state) || !replace(entry, STATE_CLAIMED) {
        return false;
    }
    let forward = Forward::from_bits(entry.route());
    load(
        forward.server,
        Load::one(is_active(entry.word.state)).wrapping_neg(),
    );
    if entry.word.flags & FLAG_NAT != 0
        && let Some(reverse) = at(forward.reverse)
        // A newer connection may have taken the reverse entry over.
        && reverse.word.state == STATE_REVERSE
        && reverse.word.stamp == entry.index
    {
        let _ = replace(&reverse, STATE_FREE);
    }
    true
}

/// Puts an entry into another state if it still is as it was read.
#[inline(always)]
fn replace(entry: &Entry, state: u8) -> bool {
    let new = Word {
        state,
        ..Word::default()
    };
    // SAFETY: entries lie in the table.
    unsafe { atomic::compare_exchange(&raw mut (*entry.slot).word, entry.word.bits(), new.bits()) }
}

/// Makes a claimed slot live.
#[inline(always)]
pub fn publish(index: u32, key: &Key, route: u64, value: Word) {
    let Some(entry) = at(index) else {
        return;
    };
    // SAFETY: the slot is claimed, so that only we write it. The exchange is a full barrier
    // in BPF: whoever sees the word sees key and route.
    unsafe {
        (*entry.slot).key = *key;
        (*entry.slot).route = route;
        atomic::exchange(&raw mut (*entry.slot).word, value.bits());
    }
}

/// Gives a claimed slot back.
#[inline(always)]
pub fn release(index: u32) {
    if let Some(entry) = at(index) {
        let _ = replace(&entry, STATE_FREE);
    }
}

/// Puts a reverse entry in place that leads to the connection in slot `forward`: a new one, or
/// the one of an older connection between the same server and client, which cannot use it any
/// more. Gives its slot, or [`NO_SLOT`].
#[inline(always)]
pub fn publish_reverse(key: &Key, route: u64, forward: u32, epoch: u16, now: u32) -> u32 {
    let value = Word {
        stamp: forward,
        state: STATE_REVERSE,
        flags: 0,
        epoch,
    };
    let places = constants::hash().places(key);
    if let Some(entry) = find(key, &places) {
        // A connection, whose client would have to be the server itself, is left alone.
        if entry.word.state != STATE_REVERSE || !replace(&entry, STATE_CLAIMED) {
            return NO_SLOT;
        }
        publish(entry.index, key, route, value);
        return entry.index;
    }
    let index = claim(&places, now);
    if index != NO_SLOT {
        publish(index, key, route, value);
    }
    index
}

/// Remembers another way to the client.
#[inline(always)]
pub fn update_reverse(entry: &Entry, route: u64, epoch: u16) {
    // SAFETY: a slot of the table.
    unsafe {
        (*entry.slot).route = route;
        let new = Word {
            epoch,
            ..entry.word
        };
        atomic::compare_exchange(&raw mut (*entry.slot).word, entry.word.bits(), new.bits());
    }
}
