//! What happens to live entries: packets pass, TCP connections change their state, replies settle
//! or are told to the connection again.

use super::{
    TRIES,
    entry::{self, Entry},
    memory::{Constant, SharedTable, Table},
    recount,
};
use crate::{
    layout::{
        slot::Forward,
        word::{FLAG_NAT, FLAG_SETTLED, Word},
    },
    server::Load,
    state::{
        self, KIND, Kind,
        tcp::{self, Direction, TcpState},
        time::age,
    },
};

/// True if a packet with these TCP flags leaves a connection as it is, as most packets do. A
/// UDP packet counts as one with ACK.
#[inline(always)]
#[must_use]
pub const fn is_settled(state: u8, flags: u8) -> bool {
    const EVENTS: u8 = tcp::SYN | tcp::FIN | tcp::RST | tcp::ACK;
    flags & EVENTS == tcp::ACK && (state == TcpState::Established as u8 || state == state::UDP)
}

/// True if a SYN opens the connection anew.
#[inline(always)]
#[must_use]
pub const fn is_reusable(state: u8) -> bool {
    state == TcpState::TimeWait as u8 || state == TcpState::Close as u8
}

/// True if no packet has passed for longer than the state allows. In a NAT connection: no
/// packet that its own entry was told of.
#[inline(always)]
pub fn is_expired<T: Table>(table: T, word: Word, now: u32) -> bool {
    age(now, word.stamp()) > table.timeout(word.state())
}

/// True while a connection lives: a packet has passed in time, in either direction.
#[inline(always)]
pub fn is_alive<T: Table>(table: T, entry: &Entry<T>, now: u32) -> bool {
    if !is_expired(table, entry.word, now) {
        return true;
    }
    match reverse_of(table, entry) {
        Some(reverse) => age(now, reverse.word.stamp()) <= table.timeout(entry.word.state()),
        None => false,
    }
}

/// When a packet of a connection last passed, in either direction.
#[inline(always)]
pub fn last_packet<T: Table>(table: T, entry: &Entry<T>) -> u32 {
    let stamp = entry.word.stamp();
    match reverse_of(table, entry) {
        Some(reverse) if age(reverse.word.stamp(), stamp) > 0 => reverse.word.stamp(),
        _ => stamp,
    }
}

/// The reverse entry of a NAT connection. `None` if a newer connection has taken it over.
#[inline(always)]
pub fn reverse_of<T: Table>(table: T, connection: &Entry<T>) -> Option<Entry<T>> {
    if connection.word.flags() & FLAG_NAT == 0 {
        return None;
    }
    let route = Forward::from_bits(table.route(connection.slot));
    let reverse = entry::read(table, route.reverse)?;
    // Compares the key as well: a generation of eight bits repeats after 256 uses of the slot.
    let ours = state::is_reverse(reverse.word.state())
        && reverse.word.generation() == u16::from(route.generation)
        && connection.constant.is_answered_by(&reverse.constant);
    ours.then_some(reverse)
}

/// True if a reverse entry belongs to its `owner`, a connection with another key than `new` that
/// may still get replies: it is established, or half closed, or UDP, and has not expired. One that
/// is not established yet has nothing to lose that its client does not send again.
#[inline(always)]
pub fn is_in_use<T: Table>(
    table: T,
    reverse: &Entry<T>,
    owner: &Entry<T>,
    new: &T::Constant,
    now: u32,
) -> bool {
    if owner.constant.same(new) || !state::gets_replies(owner.word.state()) {
        return false;
    }
    let its_own = reverse_of(table, owner);
    its_own.is_some_and(|its_own| its_own.index == reverse.index) && is_alive(table, owner, now)
}

/// Steps a TCP connection by a packet of its client or its server, and moves it between its
/// server's counts where the step does.
#[inline(always)]
pub fn step<T: SharedTable>(table: T, entry: &Entry<T>, from_server: bool, flags: u8) {
    let Entry { slot, word, .. } = *entry;
    for _ in 0..TRIES {
        let old = Word::from_bits(table.word(slot));
        let same_entry = old.state() & KIND == Kind::Tcp as u8 && old.tail() == word.generation();
        if !same_entry {
            return;
        }
        let direction = match (from_server, old.flags() & FLAG_NAT != 0) {
            (true, _) => Direction::Output,
            (false, true) => Direction::Input,
            (false, false) => Direction::InputOnly,
        };
        let state = tcp::step(direction, flags, old.state());
        if state == old.state() {
            return;
        }
        if table.replace(slot, old.bits(), old.with_state(state).bits()) {
            let (was, is) = (state::is_active(old.state()), state::is_active(state));
            if was != is {
                let change = Load::transition(was, is);
                recount::count(table, entry.constant.server(), change, old.flags());
            }
            if old.state() == TcpState::Established as u8 {
                unsettle(table, entry);
            }
            return;
        }
    }
}

/// Lets replies without SYN, FIN or RST touch the reverse entry only: its connection is
/// established.
#[inline(always)]
pub fn settle<T: SharedTable>(table: T, reverse: &Entry<T>, connection: &Entry<T>) {
    change_flags(table, reverse, |flags| flags | FLAG_SETTLED);
    // Another CPU may have stepped the connection before the flag was set. It found nothing to
    // take back then.
    let word = Word::from_bits(table.word(connection.slot));
    if word.state() != TcpState::Established as u8 {
        unsettle(table, connection);
    }
}

/// Lets all replies touch the connection's entry again.
#[inline(always)]
fn unsettle<T: SharedTable>(table: T, connection: &Entry<T>) {
    let connection = Entry {
        // As it was read, the entry may not have been a NAT connection's; then there is no route
        // to a reverse entry either.
        word: connection
            .word
            .with_flags(connection.word.flags() | FLAG_NAT),
        ..*connection
    };
    if let Some(reverse) = reverse_of(table, &connection) {
        change_flags(table, &reverse, |flags| flags & !FLAG_SETTLED);
    }
}

/// Changes the flags of a reverse entry.
#[inline(always)]
fn change_flags<T: SharedTable>(table: T, reverse: &Entry<T>, change: impl Fn(u8) -> u8) {
    let mut old = reverse.word;
    for _ in 0..TRIES {
        let new = old.with_flags(change(old.flags()));
        if new == old || table.replace(reverse.slot, old.bits(), new.bits()) {
            return;
        }
        old = Word::from_bits(table.word(reverse.slot));
        let same_entry =
            state::is_reverse(old.state()) && old.generation() == reverse.word.generation();
        if !same_entry {
            return;
        }
    }
}

/// Remembers another way to the client in a reverse entry.
///
/// Packets find the entry all the time, so it cannot be claimed. The route is replaced first. If
/// the slot was given to another entry meanwhile, the word tells, and the route is put back.
#[inline(always)]
pub fn reroute<T: SharedTable>(table: T, reverse: &Entry<T>, old: u64, new: u64, epoch: u16) {
    if old != new && !table.replace_route(reverse.slot, old, new) {
        return;
    }
    let mut word = reverse.word;
    for _ in 0..TRIES {
        let changed = word.with_tail(epoch);
        if table.replace(reverse.slot, word.bits(), changed.bits()) {
            return;
        }
        word = Word::from_bits(table.word(reverse.slot));
        let same_entry =
            state::is_reverse(word.state()) && word.generation() == reverse.word.generation();
        if !same_entry {
            table.replace_route(reverse.slot, new, old);
            return;
        }
    }
}
