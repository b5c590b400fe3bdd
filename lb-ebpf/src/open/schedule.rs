//! Which server gets a new connection: the map `rosters`, as schedulers read it.

use lb_common::{
    drops::Drop,
    schedule::{Entry, LINE_ENTRIES, Position, Roster, Search},
    server::{Load, MOST_SERVERS},
    service::Service,
};

use crate::{
    machine::{atomic, repeat::repeat},
    maps,
};

/// The server that gets the next connection.
#[inline(never)]
pub fn schedule(service: &Service) -> Scheduled {
    let Some(scheduler) = service.scheduler() else {
        return Scheduled::drop(Drop::UnknownScheduler);
    };
    let roster = Lines {
        first: service.roster,
        servers: service.servers,
    };
    match scheduler.choose(&roster) {
        Some(index) => Scheduled::server(index),
        None => Scheduled::drop(Drop::NoServer),
    }
}

/// The index of a server, or the reason why there is none, in one register: a subprogram can
/// return no more.
pub struct Scheduled(u64);

impl Scheduled {
    const DROP: u64 = 1 << 32;

    #[inline(always)]
    const fn server(index: u32) -> Self {
        Self(index as u64)
    }

    #[inline(always)]
    const fn drop(reason: Drop) -> Self {
        Self(Self::DROP | reason as u64)
    }

    /// Unpacks the register.
    #[inline(always)]
    pub fn read(self) -> Result<u32, Drop> {
        let lower = self.0 as u32;
        if self.0 & Self::DROP == 0 {
            Ok(lower)
        } else {
            Err(Drop::of_number(lower).unwrap_or(Drop::Inconsistent))
        }
    }
}

/// The loads of all servers.
#[inline(always)]
fn loads() -> Option<*const Load> {
    Some(maps::LOADS.get_ptr(0)?.cast())
}

/// The load of one server. Its two halves are read separately: this is cheaper than reading the
/// word and splitting it. If a connection changes its state between the two reads, the scheduler
/// sees a sum that is off by one for a moment, which it may see anyway.
#[inline(always)]
fn load(loads: *const Load, server: u32) -> Load {
    // SAFETY: it lies in the entry, in two aligned words.
    unsafe { *loads.add((server % MOST_SERVERS) as usize) }
}

/// How often a turn is tried before its result is used without moving the position.
const TURNS: u32 = 4;

/// A roster in the map `rosters`.
struct Lines {
    first: u32,
    servers: u32,
}

impl Roster for Lines {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.servers
    }

    #[inline(always)]
    fn entry(&self, place: u32) -> Option<Entry> {
        let line = maps::ROSTERS.get_ptr(self.first + 1 + place / LINE_ENTRIES)?;
        // SAFETY: the place lies in the line, an aligned word.
        unsafe {
            let words = (&raw const (*line).words).cast::<u64>();
            Some(Entry::from_bits(
                *words.add((place % LINE_ENTRIES) as usize),
            ))
        }
    }

    #[inline(always)]
    fn visit_line(&self, number: u32, mut visit: impl FnMut(Entry, Load)) {
        let (Some(line), Some(loads)) = (maps::ROSTERS.get_ptr(self.first + 1 + number), loads())
        else {
            return;
        };
        for place in 0..LINE_ENTRIES {
            // SAFETY: a line of aligned words, which nobody writes any more.
            let entry = unsafe { *line.cast::<u64>().add(place as usize) };
            let entry = Entry::from_bits(entry);
            visit(entry, load(loads, entry.server));
        }
    }

    /// If another CPU moves the position meanwhile, the turn is taken again.
    #[inline(always)]
    fn turn(&self, take: impl Fn(Position, u64) -> Option<(u32, Position)>) -> Option<u32> {
        let header = maps::ROSTERS.get_ptr_mut(self.first)?;
        // SAFETY: aligned words of a map; the position is shared as an atomic.
        let (shared, digest) = unsafe { (&raw mut (*header).words[0], (*header).words[1]) };
        for _ in 0..TURNS {
            // SAFETY: as above.
            let bits = unsafe { atomic::load(shared) };
            let (server, position) = take(Position::from_bits(bits), digest)?;
            // SAFETY: as above.
            if unsafe { atomic::compare_exchange(shared, bits, position.bits()) } {
                return Some(server);
            }
        }
        // Other CPUs take turns all the time: any place in the round is as good as another.
        // SAFETY: as above.
        let position = Position::from_bits(unsafe { atomic::load(shared) });
        take(position, digest).map(|(server, _)| server)
    }

    #[inline(always)]
    fn search<S: Search>(&self, times: u32, search: &mut S) {
        repeat(times, search);
    }
}
