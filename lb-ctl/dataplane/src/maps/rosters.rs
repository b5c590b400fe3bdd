//! Rosters: which lines of the map belong to which service. What the lines say is up to
//! `lb_common::schedule`.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lb_common::{
    schedule::{Entry, LINE_ENTRIES, MAX_SERVERS, Position, RosterLine, Scheduler},
    service::Service,
};

use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    crash::{self, Step},
};

/// How long lines that were given up are not used again. The program may still read them for a
/// packet that it is handling; no packet takes nearly as long as this.
const GRACE: Duration = Duration::from_millis(500);

/// The map `rosters`.
pub struct Rosters {
    lines: Kept<RosterLine>,
    /// Runs of lines in use: first line → number of lines.
    used: BTreeMap<u32, u32>,
    /// How many lines these are.
    taken: u32,
    /// Runs given up, oldest first.
    given_up: VecDeque<(Instant, u32)>,
    /// Where the last run ends: the search for free lines begins here.
    next: u32,
}

impl Rosters {
    /// None is in use yet.
    pub fn new(lines: Mapped<RosterLine>) -> Result<Self> {
        Ok(Self {
            lines: Kept::adopt(lines)?,
            used: BTreeMap::new(),
            taken: 0,
            given_up: VecDeque::new(),
            next: 0,
        })
    }

    /// A copy in a larger map, which no packet reads yet.
    pub fn copied_to(&self, lines: Mapped<RosterLine>) -> Result<Self> {
        let larger = Self {
            lines: self.lines.copied_to(lines)?,
            used: self.used.clone(),
            taken: self.taken,
            given_up: self.given_up.clone(),
            next: self.next,
        };
        for &first in larger.used.keys() {
            if let Some(word) = larger.lines.map().word(first, 0) {
                word.store(self.position(first).bits(), SeqCst);
            }
        }
        Ok(larger)
    }

    /// Lines in all.
    pub fn lines(&self) -> u32 {
        self.lines.entries()
    }

    /// How many of them rosters take.
    pub fn used(&self) -> u32 {
        self.taken
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// Takes the lines that a service of the map refers to for its roster. False if it cannot
    /// have its roster there: its scheduler is unknown, or its lines belong to another one.
    pub fn adopt(&mut self, service: &Service) -> bool {
        let (first, servers) = (service.roster, service.servers);
        let Some(scheduler) = service.scheduler() else {
            return false;
        };
        if servers > MAX_SERVERS || first >= self.lines.entries() {
            return false;
        }
        let end = first + scheduler.roster_lines(servers);
        let before = self.used.range(..end).next_back();
        if end > self.lines.entries() || before.is_some_and(|(at, length)| at + length > first) {
            return false;
        }
        self.used.insert(first, end - first);
        self.taken += end - first;
        true
    }

    /// The servers of a roster.
    pub fn read(&self, first: u32, servers: u32) -> Vec<Entry> {
        (0..servers)
            .filter_map(|place| {
                let line = self.lines.read(first + 1 + place / LINE_ENTRIES)?;
                let word = line.words[(place % LINE_ENTRIES) as usize];
                Some(Entry::from_bits(word))
            })
            .collect()
    }

    /// The scheduler's position in a roster.
    pub fn position(&self, first: u32) -> Position {
        let word = self.lines.map().word(first, 0);
        let word = word.map_or(0, |w| w.load(SeqCst));
        Position::from_bits(word)
    }

    /// Writes a roster to lines that no packet reads, and gives the first of them.
    pub fn write(
        &mut self,
        scheduler: Scheduler,
        entries: &[Entry],
        position: Position,
    ) -> Result<u32> {
        let first = self.allocate(scheduler.roster_lines(entries.len() as u32))?;
        for (line, value) in (first..).zip(scheduler.roster(entries, position)) {
            self.lines.write(line, value);
        }
        crash::after(Step::RosterWritten);
        Ok(first)
    }

    /// Compares the rosters that begin in some lines with the daemon's copy, restores those that
    /// somebody else has changed, and gives their first lines. Positions are not compared: the
    /// program changes them.
    pub fn repair(&self, lines: Range<u32>) -> Vec<u32> {
        let mut changed = Vec::new();
        for (&first, &length) in self.used.range(lines) {
            let header = (1..LINE_ENTRIES as usize).all(|word| {
                let is = self.lines.map().word(first, word);
                let is = is.map(|word| word.load(SeqCst));
                is == self.lines.read(first).map(|line| line.words[word])
            });
            let entries = self.lines.repair(first + 1..first + length);
            if header && entries.is_empty() {
                continue;
            }
            if let Some(mut line) = self.lines.read(first) {
                line.words[0] = self.position(first).bits();
                self.lines.write(first, line);
            }
            changed.push(first);
        }
        changed
    }

    /// Gives up a roster that no service refers to any more.
    pub fn give_up(&mut self, first: u32) {
        self.given_up.push_back((Instant::now(), first));
    }

    fn allocate(&mut self, lines: u32) -> Result<u32> {
        while let Some(&(since, first)) = self.given_up.front()
            && since.elapsed() >= GRACE
        {
            self.given_up.pop_front();
            self.taken -= self.used.remove(&first).unwrap_or_default();
        }
        let gap = self.gap(self.next, lines).or_else(|| self.gap(0, lines));
        let Some(start) = gap else {
            bail!(NoLines {
                lines,
                all: self.lines.entries()
            });
        };
        self.used.insert(start, lines);
        self.taken += lines;
        self.next = start + lines;
        Ok(start)
    }

    /// Where as many free lines in a row as needed begin, at `from` or after it. No run of lines
    /// may reach across `from`.
    fn gap(&self, from: u32, lines: u32) -> Option<u32> {
        let mut start = from;
        for (&first, &length) in self.used.range(from..) {
            if first - start >= lines {
                break;
            }
            start = first + length;
        }
        (self.lines.entries() - start >= lines).then_some(start)
    }
}

/// The map does not have as many free lines in a row as a roster takes.
#[derive(Debug, thiserror::Error)]
#[error("no room for a roster of {lines} lines among the {all} of this instance")]
pub struct NoLines {
    lines: u32,
    all: u32,
}
