//! The connection table: finding, opening, stepping and ending connections.
//!
//! The protocol of a slot's life stands in `lb_common::connection`. The daemon follows it
//! too, from user space, on the same memory.

use core::ptr::read_volatile;

use lb_common::{
    connection::{
        BUCKET_SLOTS, Direction, FLAG_NAT, FLAG_SETTLED, Forward, Key, NO_SLOT, Places,
        STATE_CLAIMED, STATE_FREE, STATE_REVERSE, STATE_UDP, Slot, Word, age, is_active,
        is_connection,
    },
    schedule::Search,
    server::{Load, MOST_SERVERS},
    tcp::{self, TcpState},
};

use crate::{atomic, machine::constants, maps, repeat::repeat, us, verifier};

/// What a lookup found. The slot may change under the reader; `word` is as it was read.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Where it stands.
    pub slot: *mut Slot,
    /// The same as a number, as entries refer to one another.
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

    /// Its key, as stored.
    #[inline(always)]
    pub fn key(&self) -> Key {
        // SAFETY: as above; two of them.
        unsafe { (*self.slot).key }
    }
}

/// The live entry of this key. Most stand where they are looked for first.
#[inline(always)]
pub fn find(key: &Key) -> Option<Entry> {
    let places = constants::hash().places(key);
    match look(places.first(), places.home(), key) {
        Some(entry) => Some(entry),
        None => {
            let index = elsewhere(key.addresses, key.ports);
            look(index / BUCKET_SLOTS, index % BUCKET_SLOTS, key)
        }
    }
}

/// The slot of this key's live entry, wherever it stands; or [`NO_SLOT`].
///
/// A function that is known by name the verifier follows once, rather than once for each way
/// that leads to it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn elsewhere(addresses: u64, ports: u64) -> u32 {
    let key = &Key { addresses, ports };
    let places = constants::hash().places(key);
    for bucket in [places.first(), places.second()] {
        let Some(slots) = slots(bucket) else {
            continue;
        };
        for place in 0..BUCKET_SLOTS {
            // SAFETY: the place lies in the bucket.
            let there =
                unsafe { read_volatile(&raw const (*slots.add(place as usize)).key.addresses) };
            if there == addresses && look(bucket, place, key).is_some() {
                return bucket * BUCKET_SLOTS + place;
            }
        }
    }
    NO_SLOT
}

/// The entry in this slot, if it is live and has this key.
#[inline(always)]
fn look(bucket: u32, place: u32, key: &Key) -> Option<Entry> {
    let slots = slots(bucket)?;
    // SAFETY: the place lies in the bucket; all fields are aligned words. The key is read after
    // the word: it is the key that the connection had when it lived, or a later one's.
    unsafe {
        let slot = slots.add(place as usize);
        let word = Word::from_bits(atomic::load(&raw const (*slot).word));
        // Neither free nor claimed.
        let live = u32::from(word.state).wrapping_sub(1) < u32::from(STATE_CLAIMED) - 1;
        if !live || !read_volatile(&raw const (*slot).key).same(key) {
            return None;
        }
        Some(Entry {
            slot,
            index: bucket * BUCKET_SLOTS + place,
            word,
        })
    }
}

#[inline(always)]
fn slots(bucket: u32) -> Option<*mut Slot> {
    Some(maps::CONNECTIONS.get_ptr_mut(bucket)?.cast::<Slot>())
}

/// The entry at an index, whatever its state.
#[inline(always)]
pub fn at(index: u32) -> Option<Entry> {
    let slots = slots(index / BUCKET_SLOTS)?;
    // SAFETY: as in `search`.
    unsafe {
        let slot = slots.add((index % BUCKET_SLOTS) as usize);
        let word = Word::from_bits(atomic::load(&raw const (*slot).word));
        Some(Entry { slot, index, word })
    }
}

/// Says that a packet passed now.
#[inline(always)]
pub fn stamp(entry: &Entry, now: u32) {
    // SAFETY: the stamp is the lower half of the word (little endian). A plain store beside
    // the compare-and-swap of others is harmless: at worst, it dates a slot that was freed.
    unsafe { atomic::store_low(&raw mut (*entry.slot).word, now) }
}

/// True where no packet has passed for longer than the state allows; of a NAT connection, none
/// that the entry itself was told of.
#[inline(always)]
pub fn expired(word: &Word, now: u32) -> bool {
    age(now, word.stamp) > us::timeout(word.state)
}

/// Whether a connection lives, all packets considered.
#[inline(always)]
pub fn alive(entry: &Entry, now: u32) -> bool {
    if !expired(&entry.word, now) {
        return true;
    }
    if entry.word.flags & FLAG_NAT == 0 {
        return false;
    }
    match reverse_of(entry.slot) {
        Some(reverse) => age(now, reverse.word.stamp) <= us::timeout(entry.word.state),
        None => false,
    }
}

/// The reverse entry of a NAT connection, unless a newer connection has taken it over.
#[inline(always)]
fn reverse_of(slot: *mut Slot) -> Option<Entry> {
    // SAFETY: callers pass slots of the table; aligned words.
    let Slot { key, route, .. } = unsafe { slot.read() };
    let forward = Forward::from_bits(route);
    let reverse = at(forward.reverse)?;
    let same =
        reverse.word.state == STATE_REVERSE && key.is_answered_by(forward.server, &reverse.key());
    same.then_some(reverse)
}

/// Whether a packet with these flags leaves a connection as it is, as most do.
#[inline(always)]
pub fn is_settled(state: u8, flags: u8) -> bool {
    const EVENTS: u8 = tcp::SYN | tcp::FIN | tcp::RST | tcp::ACK;
    flags & EVENTS == tcp::ACK && (state == TcpState::Established as u8 || state == STATE_UDP)
}

/// Steps a TCP connection by a packet of its client's or its server's, and moves it between the
/// server's counts where the step does.
#[inline(never)]
pub fn step(slot: *mut Slot, from_server: bool, flags: u8, server: u32) {
    // SAFETY: callers pass slots of the table.
    let shared = unsafe { &raw mut (*slot).word };
    for _ in 0..TRIES {
        // SAFETY: as above.
        let bits = unsafe { atomic::load(shared) };
        let old = Word::from_bits(bits);
        let direction = match (from_server, old.flags & FLAG_NAT != 0) {
            (true, _) => Direction::Output,
            (false, true) => Direction::Input,
            (false, false) => Direction::InputOnly,
        };
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
            if old.state == TcpState::Established as u8 && old.flags & FLAG_NAT != 0 {
                unsettle(slot);
            }
            return;
        }
    }
}

/// How often a compare-and-swap is tried before giving way: another CPU steps the same
/// connection at the same moment.
const TRIES: u32 = 4;

/// Sends replies to the forward entry again.
#[inline(always)]
fn unsettle(forward: *mut Slot) {
    if let Some(reverse) = reverse_of(forward)
        && reverse.word.flags & FLAG_SETTLED != 0
    {
        flag(&reverse, reverse.word.flags & !FLAG_SETTLED);
    }
}

/// Lets replies without news pass by the forward entry, which is established.
#[inline(always)]
pub fn settle(reverse: &Entry, forward: &Entry) {
    flag(reverse, reverse.word.flags | FLAG_SETTLED);
    // Another CPU may have ended that meanwhile, and found nothing to take back yet.
    // SAFETY: a slot of the table.
    let word = Word::from_bits(unsafe { atomic::load(&raw const (*forward.slot).word) });
    if word.state != TcpState::Established as u8 {
        unsettle(forward.slot);
    }
}

/// Replaces the flags of an entry that nobody else changes meanwhile; otherwise, the next
/// packet will.
#[inline(always)]
fn flag(entry: &Entry, flags: u8) {
    let new = Word {
        flags,
        ..entry.word
    };
    // SAFETY: a slot of the table.
    unsafe {
        atomic::compare_exchange(&raw mut (*entry.slot).word, entry.word.bits(), new.bits());
    }
}

/// Adds to a server's counts of connections.
#[inline(always)]
pub fn load(server: u32, change: u64) {
    if let Some(loads) = maps::LOADS.get_ptr_mut(0) {
        // SAFETY: a word of the entry.
        unsafe {
            let load = loads.cast::<u64>().add((server % MOST_SERVERS) as usize);
            atomic::add(load, change);
        }
    }
}

/// Takes a free slot for a key with these places: in its first bucket, or in the emptier one
/// where that is more than half full; or else one that may be given up: an expired one, or the
/// half-open connection that has waited longest. Established connections are never given up.
/// [`NO_SLOT`] where there is none. The slot is claimed: nobody else touches it.
#[inline(always)]
pub fn claim(places: &Places, now: u32) -> u32 {
    let [first, second] = [places.first(), places.second()];
    let index = claim_free(first, second, places.home());
    if index != NO_SLOT {
        return index;
    }
    give_up(first, second, now)
}

#[inline(never)]
fn claim_free(first: u32, second: u32, home: u32) -> u32 {
    let free = free_slots(first);
    if free.count_ones() >= BUCKET_SLOTS / 2 {
        let index = take(first, free, home);
        if index != NO_SLOT {
            return index;
        }
    }
    // A connection in its second bucket costs each of its packets another cache miss.
    let others = free_slots(second);
    let order = if others.count_ones() > free.count_ones() {
        [(second, others), (first, free)]
    } else {
        [(first, free), (second, others)]
    };
    for (bucket, free) in order {
        let index = take(bucket, free, home);
        if index != NO_SLOT {
            return index;
        }
        // No slot is free, or another CPU was faster.
    }
    NO_SLOT
}

/// Which slots of a bucket are free, a bit for each. Without branches: the verifier would
/// follow each of the 256 ways.
#[inline(always)]
fn free_slots(bucket: u32) -> u32 {
    let Some(slots) = slots(bucket) else {
        return 0;
    };
    let mut free = 0;
    for place in 0..BUCKET_SLOTS {
        // SAFETY: the place lies in the bucket.
        let word = unsafe { atomic::load(&raw const (*slots.add(place as usize)).word) };
        let state = verifier::opaque(u64::from(Word::from_bits(word).state));
        const _: () = assert!(STATE_FREE == 0);
        free |= (state.wrapping_sub(1) >> 63) << place;
    }
    free as u32
}

/// Claims a slot of those that were free: the home of the key, or the next one.
#[inline(always)]
fn take(bucket: u32, free: u32, home: u32) -> u32 {
    if free == 0 {
        return NO_SLOT;
    }
    let from_home = (free | free << BUCKET_SLOTS) >> home;
    let steps = (from_home & from_home.wrapping_neg())
        .wrapping_sub(1)
        .count_ones();
    let index = bucket * BUCKET_SLOTS + (home + steps) % BUCKET_SLOTS;
    match at(index) {
        Some(entry) if entry.word.state == STATE_FREE && replace(&entry, STATE_CLAIMED) => index,
        _ => NO_SLOT,
    }
}

/// Ends a connection of these buckets that may be given up, and gives its slot.
#[inline(never)]
fn give_up(first: u32, second: u32, now: u32) -> u32 {
    let mut search = Dispensable {
        first,
        second,
        now,
        found: NO_SLOT,
        waited: 0,
    };
    repeat(2 * BUCKET_SLOTS, &mut search);
    match at(search.found) {
        Some(entry) if end(&entry) => search.found,
        _ => NO_SLOT,
    }
}

struct Dispensable {
    first: u32,
    second: u32,
    now: u32,
    found: u32,
    waited: u32,
}

impl Search for Dispensable {
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let bucket = if number < BUCKET_SLOTS {
            self.first
        } else {
            self.second
        };
        let index = bucket * BUCKET_SLOTS + number % BUCKET_SLOTS;
        let Some(entry) = at(index) else {
            return true;
        };
        let Word { state, stamp, .. } = entry.word;
        if !is_connection(state) {
            return false;
        }
        // Age 0 is possible, hence "plus one"; what has expired goes before all others.
        let mut waited = age(self.now, stamp) + 1;
        if !alive(&entry, self.now) {
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
    load(
        Forward::from_bits(entry.route()).server,
        Load::one(is_active(entry.word.state)).wrapping_neg(),
    );
    if entry.word.flags & FLAG_NAT != 0
        && let Some(reverse) = reverse_of(entry.slot)
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

/// Puts a reverse entry in place: a new one, or the one of an older connection between the same
/// server and client, which cannot use it any more. Gives its slot, or [`NO_SLOT`].
#[inline(always)]
pub fn publish_reverse(key: &Key, server: u32, route: u64, value: Word) -> u32 {
    let places = constants::hash().places(key);
    let stored = &key.of_server(server);
    if let Some(entry) = find(key) {
        // A connection, whose client would have to be the server itself, is left alone.
        if entry.word.state != STATE_REVERSE || !replace(&entry, STATE_CLAIMED) {
            return NO_SLOT;
        }
        publish(entry.index, stored, route, value);
        return entry.index;
    }
    let index = claim(&places, value.stamp);
    if index != NO_SLOT {
        publish(index, stored, route, value);
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
