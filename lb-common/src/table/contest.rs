//! Which of several new entries with one key stays.
//!
//! Two packets of one client may miss the table on two CPUs at the same moment, and both CPUs
//! open the connection. One entry must stay, and both packets must go to its server. No CPU may
//! wait for another one: it may have been stopped by a hypervisor.
//!
//! Each CPU stores its entry as *contesting*, key and server included, and then looks at both
//! buckets for entries with the same key:
//!
//! - A live or elected entry stays. The CPU withdraws its own.
//! - Of contesting entries the one in the lowest slot stays. The CPU defeats all others (they
//!   become claimed, their owners free them), its own included.
//! - It then elects the one that is left, whoever owns it; but only if it began to look after
//!   that entry was contesting. So it elects its own after one look, another one after two.
//!
//! Why two entries A and B are never both elected: the look that elected A began after A was
//! contesting, the look that elected B after B was. Of the two moments one is the later, say B's.
//! Then the look that elected B read A's slot when A was contesting already. It found A
//! contesting and lower (then it did not elect B), contesting and higher (then it defeated A by
//! compare-and-swap, which fails if A is elected already, and lets nobody elect A afterwards),
//! or elected (then it did not elect B).

use super::{
    TRIES,
    entry::{self, Entry},
    memory::{Constant, SharedTable},
    places::Spot,
};
use crate::{
    layout::{slot::NO_SLOT, word::Word},
    schedule::Search,
    state,
};

/// How a contest ended for the entry that was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contest {
    /// It had no rival, and has the word that was given for this case.
    Alone,
    /// It stays, and is elected: its owner makes it live.
    Elected,
    /// Another entry stays, which has this server. `u32::MAX` if other CPUs changed entries with
    /// this key all the time. The own slot is free.
    Lost(u32),
}

impl Contest {
    const ALONE: u64 = 1 << 32;
    const ELECTED: u64 = 2 << 32;

    /// In one register: a BPF subprogram can return no more.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Alone => Self::ALONE,
            Self::Elected => Self::ELECTED,
            Self::Lost(server) => server as u64,
        }
    }

    /// As returned.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        match bits {
            Self::ALONE => Self::Alone,
            Self::ELECTED => Self::Elected,
            server => Self::Lost(server as u32),
        }
    }
}

/// Enters the slot `own`, which is claimed and whose key is written. Where no other CPU opens this
/// connection, which is nearly always, it gets the word `alone` at once: elected, or live.
#[inline(always)]
pub fn contest<T: SharedTable>(table: T, own: u32, alone: u64) -> Contest {
    let Some(slot) = table.at(own) else {
        return Contest::Lost(NO_SERVER);
    };
    let claimed = Word::from_bits(table.word(slot));
    let contesting = claimed.with_state(state::CONTESTING);
    table.store(slot, contesting.bits());
    if is_alone(table, own) && table.replace(slot, contesting.bits(), alone) {
        return Contest::Alone;
    }
    settle(table, own)
}

/// No server was seen.
const NO_SERVER: u32 = u32::MAX;

/// The contest with others.
#[inline(always)]
fn settle<T: SharedTable>(table: T, own: u32) -> Contest {
    let Some(key) = key(table, own) else {
        return Contest::Lost(NO_SERVER);
    };
    let mut look = Look {
        table,
        spot: table.spot(&key),
        own,
        candidate: NO_SLOT,
        generation: 0,
        lowest: NO_SLOT,
        word: Word::default(),
        server: NO_SERVER,
        unclear: false,
        winner: NO_SLOT,
    };
    table.repeat(LOOKS * 2 * T::SLOTS, &mut look);
    if look.winner == own || withdraw(table, own) {
        return Contest::Elected;
    }
    Contest::Lost(look.server)
}

/// The key of the own slot: nobody changes it.
#[inline(always)]
fn key<T: SharedTable>(table: T, own: u32) -> Option<T::Constant> {
    Some(table.constant(table.at(own)?))
}

/// How often a CPU looks at both buckets. It looks again only if another CPU changed an entry
/// with the same key meanwhile.
const LOOKS: u32 = 16;

fn elected(contesting: Word) -> u64 {
    contesting.with_state(state::ELECTED).bits()
}

/// True if no other slot of the two buckets has this key, in whatever state.
///
/// A CPU writes the key before it enters the contest. So whoever is not seen here enters later,
/// and sees `own`.
#[inline(never)]
fn is_alone<T: SharedTable>(table: T, own: u32) -> bool {
    let Some(key) = key(table, own) else {
        return false;
    };
    let spot = table.spot(&key);
    for number in 0..2 {
        let number = spot.bucket(number);
        let Some(bucket) = table.bucket(number) else {
            return false;
        };
        for place in 0..T::SLOTS {
            let there = table.constant(table.slot(bucket, place));
            if there.same(&key) && number * T::SLOTS + place != own {
                return false;
            }
        }
    }
    true
}

/// Looks at both buckets, slot by slot, until it is clear which entry stays.
struct Look<T: SharedTable> {
    table: T,
    spot: Spot,
    own: u32,
    /// The lowest contesting entry of the look before, and its generation.
    candidate: u32,
    generation: u16,
    /// The lowest contesting entry of this look.
    lowest: u32,
    word: Word,
    /// The server of the entry that was seen last.
    server: u32,
    /// A slot changed while it was looked at.
    unclear: bool,
    winner: u32,
}

impl<T: SharedTable> Search for Look<T> {
    #[inline(always)]
    fn step(&mut self, number: u32) -> bool {
        let number = number % (2 * T::SLOTS);
        if number == 0 {
            self.begin();
        }
        let index = self.spot.bucket(number / T::SLOTS) * T::SLOTS + number % T::SLOTS;
        if let Some(key) = key(self.table, self.own)
            && let Some(entry) = entry::read(self.table, index)
            && entry.constant.same(&key)
            && self.see(&entry)
        {
            return true;
        }
        number == 2 * T::SLOTS - 1 && self.finish()
    }
}

impl<T: SharedTable> Look<T> {
    #[inline(always)]
    fn begin(&mut self) {
        self.lowest = NO_SLOT;
        self.unclear = false;
        self.table.fence();
    }

    /// An entry with the same key, if the word is the key's. True if it stays.
    #[inline(always)]
    fn see(&mut self, entry: &Entry<T>) -> bool {
        let Entry { index, word, .. } = *entry;
        let stays = state::is_live(word.state()) || word.state() == state::ELECTED;
        if !stays && word.state() != state::CONTESTING {
            return false;
        }
        let after = Word::from_bits(self.table.word(entry.slot));
        if !after.same_but_stamp(word) {
            self.unclear = true;
            return false;
        }
        self.server = entry.constant.server();
        if stays {
            self.winner = index;
            return true;
        }
        if index < self.lowest {
            if self.lowest != NO_SLOT {
                self.defeat(self.lowest, self.word);
            }
            self.lowest = index;
            self.word = word;
        } else if index > self.lowest {
            self.defeat(index, word);
        }
        false
    }

    /// Takes a contesting entry out of the contest.
    #[inline(always)]
    fn defeat(&mut self, index: u32, word: Word) {
        let defeated = word.with_state(state::CLAIMED).bits();
        let Some(slot) = self.table.at(index) else {
            return;
        };
        if !self.table.replace(slot, word.bits(), defeated) {
            self.unclear = true;
        }
    }

    /// The end of a look. True if it is clear now which entry stays.
    #[inline(always)]
    fn finish(&mut self) -> bool {
        if self.unclear {
            // The candidate stays: whoever looks again begins after it was contesting.
            return false;
        }
        if self.lowest == NO_SLOT {
            self.enter_again();
            return false;
        }
        let seen_before =
            self.lowest == self.candidate && self.word.generation() == self.generation;
        self.candidate = self.lowest;
        self.generation = self.word.generation();
        let Some(slot) = self.table.at(self.lowest) else {
            return false;
        };
        let elects = seen_before || self.lowest == self.own;
        if elects
            && self
                .table
                .replace(slot, self.word.bits(), elected(self.word))
        {
            self.winner = self.lowest;
            return true;
        }
        false
    }

    /// The own entry was defeated, and the entry that defeated it has ended since.
    #[inline(always)]
    fn enter_again(&mut self) {
        if let Some(slot) = self.table.at(self.own) {
            let word = Word::from_bits(self.table.word(slot)).claimed();
            self.table
                .store(slot, word.with_state(state::CONTESTING).bits());
        }
    }
}

/// Frees the own slot, which another entry makes superfluous. True if it was elected after
/// all: the other entry has ended meanwhile.
#[inline(always)]
fn withdraw<T: SharedTable>(table: T, own: u32) -> bool {
    let Some(slot) = table.at(own) else {
        return false;
    };
    for _ in 0..TRIES {
        let word = Word::from_bits(table.word(slot));
        if word.state() == state::ELECTED {
            return true;
        }
        if word.state() == state::CLAIMED {
            break;
        }
        if table.replace(slot, word.bits(), word.freed().bits()) {
            return false;
        }
    }
    if let Some(entry) = entry::read(table, own) {
        table.store(slot, entry.word.freed().bits());
    }
    false
}
