//! Rosters: what a scheduler reads, and how that lies in the map `rosters`.

use crate::server::Load;

/// A server in a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index into the maps `servers` and `loads`.
    pub server: u32,
    /// As the operator set it. Schedulers ask [`Roster::eligible`], not whether it is 0.
    pub weight: u32,
}

impl Entry {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        pair(self.server, self.weight)
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let (server, weight) = halves(bits);
        Self { server, weight }
    }
}

/// Where a scheduler that takes turns continues: word 0 of a roster's header, which the XDP
/// program changes. [`Position::default`] is that of a scheduler that has chosen nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The place after the server chosen last. It may be one past the end of the roster, or
    /// more if the roster has shrunk: the scheduler then begins at 0 again.
    pub next: u32,
    /// wrr: servers of at least this weight are chosen in this pass.
    pub weight: u32,
}

impl Position {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        pair(self.next, self.weight)
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let (next, weight) = halves(bits);
        Self { next, weight }
    }
}

/// Two numbers in a word, the first in the lower half.
#[inline(always)]
pub(super) const fn pair(lower: u32, upper: u32) -> u64 {
    lower as u64 | (upper as u64) << 32
}

/// The two numbers in a word.
#[inline(always)]
pub(super) const fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// Entries in one [`RosterLine`].
pub const LINE_ENTRIES: u32 = 8;

/// The most servers that one service can have.
pub const MAX_SERVERS: u32 = 1024;

/// One cache line of the map `rosters`.
///
/// A roster is a run of lines: a header (word 0: the [`Position`]; word 1: the scheduler's
/// digest of the weights; the rest 0), then eight [`Entry`]s a line in the order in which they
/// are scheduled, then the scheduler's table if it has one. The daemon writes a roster before
/// a service refers to it, and does not change it afterwards; only the XDP program changes
/// the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RosterLine {
    /// See above.
    pub words: [u64; LINE_ENTRIES as usize],
}

const _: () = assert!(size_of::<RosterLine>() == 64);

impl RosterLine {
    /// The first line of a roster.
    pub(super) const fn header(position: Position, digest: u64) -> Self {
        Self {
            words: [position.bits(), digest, 0, 0, 0, 0, 0, 0],
        }
    }

    /// A line with up to eight servers.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut line = Self::default();
        for (word, entry) in line.words.iter_mut().zip(entries) {
            *word = entry.bits();
        }
        line
    }
}

/// What a scheduler reads: the map `rosters` in the XDP program, a list in tests.
pub trait Roster {
    /// Number of servers.
    fn len(&self) -> u32;

    /// True if there are no servers.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a server takes new connections. Every scheduler asks this function and no
    /// other.
    #[inline(always)]
    fn eligible(&self, entry: &Entry) -> bool {
        entry.weight > 0
    }

    /// The server at a place in the order, counted from 0.
    fn entry(&self, place: u32) -> Option<Entry>;

    /// Shows the [`LINE_ENTRIES`] servers from place `number * LINE_ENTRIES` on. After the
    /// last server it may show entries of weight 0, which no scheduler chooses.
    fn visit_line(&self, number: u32, visit: impl FnMut(Entry, Load));

    /// Reads the position and the digest, has `take` choose a server, and stores the position
    /// that `take` gives with it.
    fn turn(&self, take: impl Fn(Position, u64) -> Option<(u32, Position)>) -> Option<u32>;

    /// Runs up to `times` steps of a search, until one says that it is over. The XDP program
    /// replaces this loop by `bpf_loop`, whose body the verifier checks once.
    #[inline(always)]
    fn search<S: Search>(&self, times: u32, search: &mut S) {
        for number in 0..times {
            if search.step(number) {
                break;
            }
        }
    }
}

/// The server that a search has found so far.
///
/// A number and not an `Option`: half of an empty `Option` is uninitialised memory, which
/// verifiers before Linux 6.3 do not let a program copy.
#[derive(Clone, Copy)]
pub(super) struct Choice(u32);

impl Choice {
    pub(super) const NONE: Self = Self(u32::MAX);

    #[inline(always)]
    pub(super) const fn of(entry: &Entry) -> Self {
        Self(entry.server)
    }

    #[inline(always)]
    pub(super) const fn server(self) -> Option<u32> {
        if self.0 == Self::NONE.0 {
            None
        } else {
            Some(self.0)
        }
    }
}

/// A search in steps.
pub trait Search {
    /// Runs a step, the first with number 0. True if the search is over.
    fn step(&mut self, number: u32) -> bool;
}
