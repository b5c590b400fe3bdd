//! The connection table in its map: the memory that the protocol of `lb_common::table` runs on,
//! and the lookup of a packet's entry.

use core::ptr::{read_volatile, write_volatile};

use lb_common::{
    layout::{
        key::Key,
        slot::{BUCKET_SLOTS, NO_SLOT, Slot},
        word::Word,
    },
    schedule::Search,
    server::{MOST_SERVERS, Server},
    table::{
        claim,
        contest::{self, Contest},
        entry, live,
        memory::{SharedTable, Table},
        places::Spot,
        steps::Steps,
    },
};

use crate::{
    machine::{atomic, constants, repeat::repeat, verifier},
    maps, settings,
};

/// The map `connections`.
#[derive(Clone, Copy)]
pub struct Connections;

/// An entry of it, as it was read.
pub type Entry = entry::Entry<Connections>;

impl Table for Connections {
    type Constant = Key;
    /// The first slot.
    type Bucket = *mut Slot;
    type Slot = *mut Slot;

    #[inline(always)]
    fn spot(self, key: &Key) -> Spot {
        constants::hash().places(&key.of_server(0)).spot()
    }

    #[inline(always)]
    fn bucket(self, number: u32) -> Option<*mut Slot> {
        Some(maps::CONNECTIONS.get_ptr_mut(number)?.cast())
    }

    #[inline(always)]
    fn slot(self, bucket: *mut Slot, place: u32) -> *mut Slot {
        // SAFETY: callers pass a place of the bucket.
        unsafe { bucket.add(place as usize) }
    }

    #[inline(always)]
    fn word(self, slot: *mut Slot) -> u64 {
        // SAFETY: slots are in the map; an aligned word.
        unsafe { atomic::load(&raw const (*slot).word) }
    }

    #[inline(always)]
    fn constant(self, slot: *mut Slot) -> Key {
        // SAFETY: as above. Volatile, so that it stays behind the load of the word.
        unsafe { read_volatile(&raw const (*slot).key) }
    }

    #[inline(always)]
    fn route(self, slot: *mut Slot) -> u64 {
        // SAFETY: as above.
        unsafe { atomic::load(&raw const (*slot).route) }
    }

    #[inline(always)]
    fn timeout(self, state: u8) -> u32 {
        settings::timeout(state)
    }
}

impl SharedTable for Connections {
    #[inline(always)]
    fn replace(self, slot: *mut Slot, old: u64, new: u64) -> bool {
        // SAFETY: slots are in the map.
        unsafe { atomic::compare_exchange(&raw mut (*slot).word, old, new) }
    }

    #[inline(always)]
    fn store(self, slot: *mut Slot, word: u64) {
        // SAFETY: as above. An exchange, because a store is no barrier.
        unsafe { atomic::exchange(&raw mut (*slot).word, word) }
    }

    #[inline(always)]
    fn write(self, slot: *mut Slot, key: &Key, route: u64) {
        // SAFETY: as above.
        unsafe {
            write_volatile(&raw mut (*slot).key, *key);
            write_volatile(&raw mut (*slot).route, route);
        }
    }

    #[inline(always)]
    fn replace_route(self, slot: *mut Slot, old: u64, new: u64) -> bool {
        // SAFETY: as above.
        unsafe { atomic::compare_exchange(&raw mut (*slot).route, old, new) }
    }

    #[inline(always)]
    fn count(self, server: u32, change: u64) {
        if let Some(loads) = maps::LOADS.get_ptr_mut(0) {
            // SAFETY: a word of the entry.
            unsafe {
                let load = loads.cast::<u64>().add((server % MOST_SERVERS) as usize);
                atomic::add(load, change);
            }
        }
    }

    #[inline(always)]
    fn recounted(self) -> Option<u32> {
        settings::recounted().checked_sub(1)
    }

    #[inline(always)]
    fn tally(self, change: u64) {
        // SAFETY: an aligned word of the variable.
        unsafe { atomic::add(&raw mut maps::BALANCER.recount.tally, change) }
    }

    #[inline(always)]
    fn fence(self) {
        let mut anything = 0;
        // SAFETY: a word of the stack. Every exchange is a full barrier.
        unsafe { atomic::exchange(&raw mut anything, 0) }
    }

    #[inline(always)]
    fn repeat<S: Search>(self, times: u32, search: &mut S) {
        repeat(times, search);
    }

    #[inline(always)]
    fn opaque(self, number: u64) -> u64 {
        verifier::opaque(number)
    }
}

impl Steps for Connections {
    #[inline(always)]
    fn find(self, key: &Key) -> Option<Entry> {
        find_anywhere(key)
    }

    #[inline(always)]
    fn answered_by(self, reverse: &Entry) -> Option<Entry> {
        let server = maps::SERVERS.get(reverse.constant.server())?;
        find_anywhere(&client_key(&reverse.constant, server))
    }

    #[inline(always)]
    fn is_in_use(self, reverse: &Entry, new: &Key, now: u32) -> bool {
        in_use(reverse.index, new.addresses, new.ports, now) != 0
    }

    #[inline(always)]
    fn claim(self, key: &Key, now: u32) -> u32 {
        claim_slot(key.addresses, key.ports, now)
    }

    #[inline(always)]
    fn contest(self, own: u32, alone: u64) -> Contest {
        Contest::from_bits(contest_slot(own, alone))
    }
}

/// The key of the connection that a server's packet answers.
#[inline(always)]
pub fn client_key(reply: &Key, server: &Server) -> Key {
    Key::new(
        reply.destination(),
        server.service_address,
        u32::from(reply.destination_port()) | u32::from(server.service_port) << 16,
        reply.protocol(),
    )
}

/// The live entry with this key. Most are where they are looked for first.
#[inline(always)]
pub fn find(key: &Key) -> Option<Entry> {
    let places = constants::hash().places(key);
    match entry::look(Connections, places.first(), places.home(), key) {
        Some(entry) => Some(entry),
        None => find_anywhere(key),
    }
}

#[inline(always)]
fn find_anywhere(key: &Key) -> Option<Entry> {
    let index = elsewhere(key.addresses, key.ports);
    entry::look(Connections, index / BUCKET_SLOTS, index % BUCKET_SLOTS, key)
}

// Global functions: the verifier follows each once, with any numbers as arguments, and not once
// for each caller.

/// The slot of this key's live entry, wherever it is; or [`NO_SLOT`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn elsewhere(addresses: u64, ports: u64) -> u32 {
    let key = Key { addresses, ports };
    match entry::find(Connections, &key) {
        Some(entry) => entry.index,
        None => NO_SLOT,
    }
}

/// [`live::is_in_use`]: 1 if so.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn in_use(reverse: u32, addresses: u64, ports: u64, now: u32) -> u32 {
    let new = Key { addresses, ports };
    let is_in_use = |reverse: &Entry| {
        let owner = Connections.answered_by(reverse)?;
        Some(live::is_in_use(Connections, reverse, &owner, &new, now))
    };
    let reverse = entry::read(Connections, reverse);
    u32::from(reverse.as_ref().and_then(is_in_use) == Some(true))
}

/// [`claim::claim`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn claim_slot(addresses: u64, ports: u64, now: u32) -> u32 {
    claim::claim(Connections, &Key { addresses, ports }, now)
}

/// [`contest::contest`], and [`Contest::bits`] of what it gives.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn contest_slot(own: u32, alone: u64) -> u64 {
    contest::contest(Connections, own, alone).bits()
}

/// Notes that a packet passed now. A plain store beside the compare-and-swap of others: at worst
/// it stamps the next entry in the slot.
#[inline(always)]
pub fn stamp(entry: &Entry, now: u32) {
    // SAFETY: the stamp is the lower half of the word (little endian).
    unsafe { atomic::store_low(&raw mut (*entry.slot).word, now) }
}

/// Steps a TCP connection by a packet with these flags, which came from the server or from the
/// client: [`live::step`].
#[inline(always)]
pub fn step(entry: &Entry, from_server: bool, flags: u8) {
    // All but the stamp: the caller has these 32 bits in a register already.
    let word = (entry.word.bits() >> 32) as u32;
    step_in(entry.slot, word, from_server, flags);
}

/// A subprogram that reads the key again: passing the entry would copy it to the stack.
#[inline(never)]
fn step_in(slot: *mut Slot, word: u32, from_server: bool, flags: u8) {
    let entry = Entry {
        slot,
        index: NO_SLOT,
        word: Word::from_bits(u64::from(word) << 32),
        // `live::step` compares the generation after this.
        constant: Connections.constant(slot),
    };
    live::step(Connections, &entry, from_server, flags);
}
