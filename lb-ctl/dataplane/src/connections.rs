//! The connection table as the daemon sees it: counting, listing, and taking away what has
//! expired. It follows the protocol of `lb_common::connection` on the same memory as the
//! packet path.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use lb_common::{
    connection::{
        BUCKET_SLOTS, Bucket, FLAG_NAT, FLAG_SWEPT, Forward, Key, STATE_CLAIMED, STATE_REVERSE,
        Timeouts, Word, age, is_active, is_connection,
    },
    layout::Settings,
    server::Load,
};

use super::{
    clock,
    mapped::{Mapped, add},
    recount::Recount,
};
use crate::crash::{self, Step};

/// The map `connections`.
pub struct Connections {
    buckets: Mapped<Bucket>,
    /// Where the next sweep begins.
    next: u32,
}

/// A connection, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Client → VIP.
    pub key: Key,
    /// State and time.
    pub word: Word,
    /// Index into the map `servers`.
    pub server: u32,
}

// The 64-bit words of a slot.
const WORDS_PER_SLOT: usize = 4;
const ADDRESSES: usize = 0;
const PORTS: usize = 1;
const WORD: usize = 2;
const ROUTE: usize = 3;

impl Connections {
    /// Of this map.
    pub fn new(buckets: Mapped<Bucket>) -> Self {
        Self { buckets, next: 0 }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.buckets.bytes()
    }

    /// Slots in all.
    pub fn slots(&self) -> u32 {
        self.buckets.entries() * BUCKET_SLOTS
    }

    /// The connection in a slot, unless it has expired.
    pub fn live(&self, slot: u32, now: u32, settings: &Settings) -> Option<Connection> {
        let mut word = Word::from_bits(self.word(slot, WORD)?.load(SeqCst));
        if !is_connection(word.state) {
            return None;
        }
        word.stamp = self.last_packet(slot, &word);
        if expired(&word, now, &settings.timeouts) {
            return None;
        }
        Some(Connection {
            key: self.key(slot)?,
            word,
            server: self.forward(slot)?.server,
        })
    }

    /// The table.
    #[cfg(test)]
    pub fn table(&self) -> &Mapped<Bucket> {
        &self.buckets
    }

    /// Buckets in all.
    pub fn buckets(&self) -> u32 {
        self.buckets.entries()
    }

    /// Takes the expired connections of the next `buckets` buckets away; gives their number,
    /// and true where the end of the table was reached. What stays is counted by server.
    pub fn sweep(
        &mut self,
        buckets: u32,
        settings: &Settings,
        loads: &Mapped<u64>,
        recount: &mut Recount,
    ) -> (u32, bool) {
        let now = clock::now(settings);
        let timeouts = &settings.timeouts;
        let end = self
            .next
            .saturating_add(buckets)
            .min(self.buckets.entries());
        let mut ended = 0;
        for slot in self.next * BUCKET_SLOTS..end * BUCKET_SLOTS {
            let Some(shared) = self.word(slot, WORD) else {
                continue;
            };
            let bits = shared.load(SeqCst);
            let mut word = Word::from_bits(bits);
            if word.state == STATE_CLAIMED && word.flags & FLAG_SWEPT != 0 {
                self.free(slot, shared, &word);
            }
            if !is_connection(word.state) {
                continue;
            }
            if expired(&word, now, timeouts) {
                word.stamp = self.last_packet(slot, &word);
                if expired(&word, now, timeouts) && self.end(slot, shared, bits, loads) {
                    ended += 1;
                    continue;
                }
            }
            if let Some(forward) = self.forward(slot) {
                recount.see(forward.server, is_active(word.state));
            }
        }
        let whole = end == self.buckets.entries();
        self.next = if whole { 0 } else { end };
        (ended, whole)
    }

    fn end(&self, slot: u32, shared: &AtomicU64, bits: u64, loads: &Mapped<u64>) -> bool {
        let word = Word::from_bits(bits);
        let claimed = Word {
            state: STATE_CLAIMED,
            flags: word.flags | FLAG_SWEPT,
            ..Word::default()
        };
        let Some(forward) = self.forward(slot) else {
            return false;
        };
        if shared
            .compare_exchange(bits, claimed.bits(), SeqCst, SeqCst)
            .is_err()
        {
            return false;
        }
        crash::after(Step::ConnectionClaimed);
        if let Some(load) = loads.word(forward.server, 0) {
            add(load, Load::one(is_active(word.state)).wrapping_neg());
        }
        crash::after(Step::ConnectionUncounted);
        self.free(slot, shared, &word);
        true
    }

    /// Frees a claimed slot and its reverse entry.
    fn free(&self, slot: u32, shared: &AtomicU64, word: &Word) {
        if word.flags & FLAG_NAT != 0
            && let Some((reverse, bits)) = self.reverse_of(slot)
        {
            let _ = reverse.compare_exchange(bits, 0, SeqCst, SeqCst);
            crash::after(Step::ReverseFreed);
        }
        shared.store(0, SeqCst);
        crash::after(Step::ConnectionFreed);
    }

    /// When a packet of this connection last passed, in either direction.
    fn last_packet(&self, slot: u32, word: &Word) -> u32 {
        let reverse = match word.flags & FLAG_NAT {
            0 => None,
            _ => self.reverse_of(slot),
        };
        match reverse {
            Some((_, bits)) => {
                let stamp = Word::from_bits(bits).stamp;
                // Of two stamps, the one that is younger than the other.
                if age(stamp, word.stamp) > 0 {
                    stamp
                } else {
                    word.stamp
                }
            }
            None => word.stamp,
        }
    }

    /// The word of a NAT connection's reverse entry, unless a newer connection has taken that
    /// over.
    fn reverse_of(&self, slot: u32) -> Option<(&AtomicU64, u64)> {
        let forward = self.forward(slot)?;
        let shared = self.word(forward.reverse, WORD)?;
        let bits = shared.load(SeqCst);
        let answers = self.key(forward.reverse)?;
        let same = Word::from_bits(bits).state == STATE_REVERSE
            && self.key(slot)?.is_answered_by(forward.server, &answers);
        same.then_some((shared, bits))
    }

    fn key(&self, slot: u32) -> Option<Key> {
        Some(Key {
            addresses: self.word(slot, ADDRESSES)?.load(SeqCst),
            ports: self.word(slot, PORTS)?.load(SeqCst),
        })
    }

    fn forward(&self, slot: u32) -> Option<Forward> {
        Some(Forward::from_bits(self.word(slot, ROUTE)?.load(SeqCst)))
    }

    fn word(&self, slot: u32, word: usize) -> Option<&AtomicU64> {
        let place = (slot % BUCKET_SLOTS) as usize;
        self.buckets
            .word(slot / BUCKET_SLOTS, place * WORDS_PER_SLOT + word)
    }
}

fn expired(word: &Word, now: u32, timeouts: &Timeouts) -> bool {
    age(now, word.stamp) > timeouts[usize::from(word.state)]
}
