//! Opening a connection: one for each key, whatever other CPUs do.

use super::{
    TRIES,
    contest::Contest,
    end,
    entry::{self, Entry},
    memory::Constant as _,
    recount,
    steps::Steps,
};
use crate::{
    layout::{
        slot::{Forward, NO_SLOT},
        word::{FLAG_NAT, FLAG_SETTLED, Word},
    },
    server::Load,
    state,
};

/// A connection to be opened.
#[derive(Clone, Copy)]
pub struct New<K> {
    /// Its key and server.
    pub constant: K,
    /// Its first state.
    pub state: u8,
    /// In ticks.
    pub now: u32,
}

/// The reverse entry of a connection to be opened.
#[derive(Clone, Copy)]
pub struct NewReverse<K> {
    /// Its key and server.
    pub constant: K,
    /// The way to the client: a [`Reverse`](crate::layout::slot::Reverse), as stored.
    pub route: u64,
    /// The route epoch in which it was looked up.
    pub epoch: u16,
    /// True if replies need not touch the connection's entry from the beginning (UDP).
    pub settled: bool,
}

/// The outcome of opening a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The connection is in the table.
    Ours,
    /// Another CPU opened it at the same moment, to this server.
    Theirs(u32),
    /// There is no slot for it.
    Full,
    /// The replies to it would be those to another connection, which is in use: the client has a
    /// connection to the same server through another service from the same port.
    SameReplies,
}

/// Opens a connection; a NAT connection with a reverse entry.
#[inline(always)]
pub fn open<T: Steps>(
    table: T,
    new: &New<T::Constant>,
    reverse: Option<&NewReverse<T::Constant>>,
) -> Opened {
    let own = table.claim(&new.constant, new.now);
    if own == NO_SLOT {
        return Opened::Full;
    }
    // Both slots are claimed before the contest, so that its winner has all that it needs.
    let mut spare = NO_SLOT;
    if let Some(reverse) = reverse {
        match room_for(table, new, reverse) {
            Ok(index) => spare = index,
            Err(why) => {
                end::free(table, own);
                return why;
            }
        }
    }
    let Some(slot) = table.at(own) else {
        return Opened::Full;
    };
    table.write(slot, &new.constant, Forward::NONE.bits());
    let server = new.constant.server();
    let mut flags = recount::flag_of_new(table, server);
    if reverse.is_some() {
        flags |= FLAG_NAT;
    }
    // Counted before it can be live: otherwise its first step could come before the count.
    let one = Load::one(state::is_active(new.state));
    recount::count(table, server, one, flags);
    let generation = Word::from_bits(table.word(slot)).generation();
    let live = Word::connection(new.now, new.state, flags, generation);
    // A connection without a reverse entry is complete, and live at once if it has no rival.
    let alone = match reverse {
        None => live,
        Some(_) => Word::connection(0, state::ELECTED, 0, generation),
    };
    match table.contest(own, alone.bits()) {
        Contest::Lost(winner) => {
            recount::count(table, server, one.wrapping_neg(), flags);
            if spare != NO_SLOT {
                end::free(table, spare);
            }
            return Opened::Theirs(winner);
        }
        Contest::Alone if reverse.is_none() => return Opened::Ours,
        Contest::Alone | Contest::Elected => {}
    }
    if let Some(reverse) = reverse {
        let route = put_reverse(table, reverse, spare, new.now);
        table.replace_route(slot, Forward::NONE.bits(), route.bits());
    }
    // Read again: an entry that entered the contest twice has a new generation.
    let generation = Word::from_bits(table.word(slot)).generation();
    let live = Word::connection(new.now, new.state, flags, generation);
    table.store(slot, live.bits());
    Opened::Ours
}

/// A slot for a reverse entry: claimed, or [`NO_SLOT`] where there is an entry to take over.
#[inline(always)]
fn room_for<T: Steps>(
    table: T,
    new: &New<T::Constant>,
    reverse: &NewReverse<T::Constant>,
) -> Result<u32, Opened> {
    if let Some(found) = table.find(&reverse.constant) {
        if !state::is_reverse(found.word.state()) {
            // A connection with that key: its client is the server itself.
            return Err(Opened::Full);
        }
        return match table.is_in_use(&found, &new.constant, new.now) {
            true => Err(Opened::SameReplies),
            false => Ok(NO_SLOT),
        };
    }
    match table.claim(&reverse.constant, new.now) {
        NO_SLOT => Err(Opened::Full),
        index => Ok(index),
    }
}

/// Stores the reverse entry of a connection that was elected: in the slot `spare`, or in that of
/// an older connection between the same server and client, which did not use it when [`room_for`]
/// looked. Where such a connection is being opened at this very moment, it keeps its own:
/// [`Forward::NONE`].
#[inline(always)]
fn put_reverse<T: Steps>(
    table: T,
    new: &NewReverse<T::Constant>,
    mut spare: u32,
    now: u32,
) -> Forward {
    for _ in 0..TRIES {
        if let Some(found) = table.find(&new.constant) {
            if state::is_reverse(found.word.state()) && entry::claim(table, &found) {
                if spare != NO_SLOT {
                    end::free(table, spare);
                }
                table.write(found.slot, &new.constant, new.route);
                return publish_reverse(table, &found, new, now);
            }
            continue;
        }
        if spare == NO_SLOT {
            spare = table.claim(&new.constant, now);
        }
        let Some(own) = entry::read(table, spare) else {
            return Forward::NONE;
        };
        table.write(own.slot, &new.constant, new.route);
        let alone = reverse_word(new, now, own.word.generation());
        match table.contest(spare, alone.bits()) {
            Contest::Alone => return forward_to(&own, alone),
            Contest::Elected => return publish_reverse(table, &own, new, now),
            Contest::Lost(_) => spare = NO_SLOT,
        }
    }
    if spare != NO_SLOT {
        end::free(table, spare);
    }
    Forward::NONE
}

/// Makes a reverse entry live, whose slot the caller owns.
#[inline(always)]
fn publish_reverse<T: Steps>(
    table: T,
    own: &Entry<T>,
    new: &NewReverse<T::Constant>,
    now: u32,
) -> Forward {
    // Read again: an entry that entered the contest twice has a new generation.
    let generation = Word::from_bits(table.word(own.slot)).generation();
    let word = reverse_word(new, now, generation);
    table.store(own.slot, word.bits());
    forward_to(own, word)
}

/// The word of a live reverse entry.
#[inline(always)]
fn reverse_word<K>(new: &NewReverse<K>, now: u32, generation: u16) -> Word {
    let flags = if new.settled { FLAG_SETTLED } else { 0 };
    Word::reverse(now, flags, new.epoch, generation)
}

/// The way from a connection's entry to its reverse entry, which has this word.
#[inline(always)]
fn forward_to<T: Steps>(own: &Entry<T>, word: Word) -> Forward {
    Forward {
        reverse: own.index,
        generation: word.generation() as u8,
    }
}
