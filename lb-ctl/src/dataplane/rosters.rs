//! Rosters: which lines of the map are whose, and what is written there.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lb_common::{
    schedule::{Position, Weights},
    service::{Entry, LINE_ENTRIES, MAX_SERVERS, RosterLine, Scheduler, roster_lines},
};

use super::{kept::Kept, mapped::Mapped};
use crate::crash::{self, Step};

/// How long lines that were given up are left alone: a packet that is on its way through the
/// program may still read them, for far less than this.
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
    /// Where the last run ends: the next one is looked for from here on.
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

    /// The same in a larger map, which no packet meets yet.
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

    /// Says that a roster with this many servers stands at a line. False where none can.
    pub fn adopt(&mut self, first: u32, servers: u32) -> bool {
        if servers > MAX_SERVERS || first >= self.lines.entries() {
            return false;
        }
        let end = first + roster_lines(servers);
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

    /// Where the scheduler stands.
    pub fn position(&self, first: u32) -> Position {
        let word = self.lines.map().word(first, 0);
        let word = word.map_or(0, |w| w.load(SeqCst));
        Position::from_bits(word)
    }

    /// Writes a roster in lines that nobody reads, and gives the first of them.
    pub fn write(&mut self, entries: &[Entry], position: Position) -> Result<u32> {
        let weights = Weights::of(entries.iter().map(|entry| entry.weight));
        let first = self.allocate(roster_lines(entries.len() as u32))?;
        let mut header = RosterLine::default();
        header.words[0] = position.bits();
        header.words[1] = weights.bits();
        self.lines.write(first, header);
        for (line, chunk) in (first + 1..).zip(entries.chunks(LINE_ENTRIES as usize)) {
            let mut words = RosterLine::default();
            for (word, entry) in words.words.iter_mut().zip(chunk) {
                *word = entry.bits();
            }
            self.lines.write(line, words);
        }
        crash::after(Step::RosterWritten);
        Ok(first)
    }

    /// Writes what should be there to those rosters that begin in some lines and that somebody
    /// else has changed, and gives their first lines. Where a scheduler stands is its own
    /// affair.
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

    /// Says that no service refers to a roster any more.
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

    /// The first lines from `from` on, where no run lies across, that nobody uses.
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

/// The map has not as many free lines in a row as a roster takes.
#[derive(Debug, thiserror::Error)]
#[error("no room for a roster of {lines} lines among the {all} of this instance")]
pub struct NoLines {
    lines: u32,
    all: u32,
}

/// Where a scheduler goes on after its roster changed, as IPVS does.
///
/// rr stays behind the server that it chose last, or behind the nearest one before it that is
/// still there. wrr begins at the head again, in the pass that fits best; a roster that
/// appears at once has been built by adding its servers one by one, the last one first.
pub fn position_after(
    scheduler: Scheduler,
    old: Option<(&[Entry], Position)>,
    new: &[Entry],
) -> Position {
    match scheduler {
        Scheduler::Wrr => {
            let mut weight = old.map_or(0, |(_, position)| position.weight);
            if old.is_none() {
                for first in (1..new.len()).rev() {
                    weight = after(&new[first..], weight).weight;
                }
            }
            after(new, weight)
        }
        _ => {
            let Some((entries, position)) = old else {
                return Position::default();
            };
            let chosen = entries.len().min(position.next as usize);
            let next = entries[..chosen]
                .iter()
                .rev()
                .find_map(|e| new.iter().position(|n| n.server == e.server))
                .map_or(0, |place| place as u32 + 1);
            Position { next, weight: 0 }
        }
    }
}

fn after(entries: &[Entry], weight: u32) -> Position {
    Weights::of(entries.iter().map(|entry| entry.weight)).after_change(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(weights: &[(u32, u32)]) -> Vec<Entry> {
        let entry = |&(server, weight)| Entry { server, weight };
        weights.iter().map(entry).collect()
    }

    #[test]
    fn rr_stays_behind_the_server_that_it_chose_last() {
        let old = roster(&[(13, 1), (12, 1), (11, 1)]);
        let at = |next, new: &[Entry]| {
            let position = Position { next, weight: 0 };
            position_after(Scheduler::Rr, Some((&old, position)), new).next
        };
        // Nothing chosen yet, then a server is added at the head: it is the first.
        assert_eq!(at(0, &roster(&[(14, 1), (13, 1), (12, 1), (11, 1)])), 0);
        // .13 was chosen, .12 is next, wherever it is.
        assert_eq!(at(1, &roster(&[(14, 1), (13, 1), (12, 1), (11, 1)])), 2);
        // .12 was chosen and is removed: .11 is next.
        assert_eq!(at(2, &roster(&[(13, 1), (11, 1)])), 1);
        // .13 was chosen and is removed: back to the head.
        assert_eq!(at(1, &roster(&[(12, 1), (11, 1)])), 0);
    }

    #[test]
    fn wrr_of_a_new_service_starts_as_if_its_servers_had_been_added_one_by_one() {
        // .11 weight 3, then .12 weight 2, then .13 weight 1, as in a capture of a real ip_vs
        // whose first cycle begins in its last pass.
        let position = position_after(Scheduler::Wrr, None, &roster(&[(13, 1), (12, 2), (11, 3)]));
        assert_eq!(position, Position { next: 0, weight: 1 });
    }
}
