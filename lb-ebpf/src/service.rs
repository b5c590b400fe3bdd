//! Virtual services: which one a packet is for, and which server gets its connection.

use lb_common::{
    connection::Key,
    schedule::{self, Position, Roster, Search, Weights},
    server::{Load, MOST_SERVERS},
    service::{Entry, LINE_ENTRIES, Scheduler, Service, ServiceKey},
};

use crate::{atomic, maps, repeat::repeat};

/// The service that a packet with this key is for.
#[inline(always)]
pub fn find(key: &Key) -> Option<&'static Service> {
    let key = ServiceKey {
        address: key.destination(),
        port: key.destination_port(),
        protocol: key.protocol(),
        _pad: 0,
    };
    // SAFETY: the kernel replaces values whole; one that was just removed stays readable
    // until this program ends.
    unsafe { maps::SERVICES.get(key) }
}

/// No server may take a connection.
pub const NO_SERVER: u32 = u32::MAX;

/// The server that is to have the next connection, or [`NO_SERVER`].
#[inline(never)]
pub fn schedule(service: &Service) -> u32 {
    let lines = Lines {
        first: service.roster,
        servers: service.servers,
    };
    let choice = match service.scheduler {
        s if s == Scheduler::Rr as u8 => {
            lines.turn(|position, _| schedule::round_robin(&lines, position))
        }
        s if s == Scheduler::Wrr as u8 => lines
            .turn(|position, weights| schedule::weighted_round_robin(&lines, weights, position)),
        s if s == Scheduler::Lc as u8 => schedule::least_connection(&lines),
        _ => schedule::weighted_least_connection(&lines),
    };
    choice.unwrap_or(NO_SERVER)
}

/// The loads of all servers.
#[inline(always)]
fn loads() -> Option<*const Load> {
    Some(maps::LOADS.get_ptr(0)?.cast())
}

/// One of them. Its halves are read one after the other, which costs less than to take a word
/// apart; a connection that changes meanwhile would be as right a moment later.
#[inline(always)]
fn load(loads: *const Load, server: u32) -> Load {
    // SAFETY: it lies in the entry, in two aligned words.
    unsafe { *loads.add((server % MOST_SERVERS) as usize) }
}

/// How often a turn is tried.
const TURNS: u32 = 4;

/// A roster in the map `rosters`.
struct Lines {
    first: u32,
    servers: u32,
}

impl Lines {
    /// Takes a turn: reads the position, and moves it on. Where another CPU moved it
    /// meanwhile, ours is taken anew.
    #[inline(always)]
    fn turn(&self, take: impl Fn(Position, Weights) -> Option<(u32, Position)>) -> Option<u32> {
        let header = maps::ROSTERS.get_ptr_mut(self.first)?;
        // SAFETY: aligned words of a map; the position is shared as an atomic.
        let (shared, weights) = unsafe {
            (
                &raw mut (*header).words[0],
                Weights::from_bits((*header).words[1]),
            )
        };
        for _ in 0..TURNS {
            // SAFETY: as above.
            let bits = unsafe { atomic::load(shared) };
            let (server, position) = take(Position::from_bits(bits), weights)?;
            // SAFETY: as above.
            if unsafe { atomic::compare_exchange(shared, bits, position.bits()) } {
                return Some(server);
            }
        }
        // Other CPUs take turns all the time: any place in the round is as good as another.
        // SAFETY: as above.
        let position = Position::from_bits(unsafe { atomic::load(shared) });
        take(position, weights).map(|(server, _)| server)
    }
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
            // SAFETY: a line of aligned words, which nobody writes.
            let entry = unsafe { *line.cast::<u64>().add(place as usize) };
            let entry = Entry::from_bits(entry);
            visit(entry, load(loads, entry.server));
        }
    }

    #[inline(always)]
    fn search<S: Search>(&self, times: u32, search: &mut S) {
        repeat(times, search);
    }
}
