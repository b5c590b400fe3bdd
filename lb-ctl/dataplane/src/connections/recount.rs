//! Whether each server's count of connections is what the table says.
//!
//! The protocol of the table keeps the counts exact. Somebody may have written into the map all
//! the same. So every sweep counts what it sees. While packets pass, that count is not exact: a
//! connection may open or close behind the sweep. Where it differs again and again, the server is
//! *examined*: counted exactly, by the tally of `lb_common::table::recount`, which takes three
//! sweeps. Then its count is put right.

use std::collections::HashMap;

use lb_common::{
    layout,
    server::Load,
    table::sweep::{FORGET, TALLY},
};

use crate::{
    arrays::mapped::Mapped,
    counts::Counts,
    crash::{self, Step},
};

/// What the sweeps have counted, and what they found wrong.
pub struct Recount {
    counted: Vec<u64>,
    /// Servers whose counts have differed in the last sweeps.
    suspects: HashMap<u32, Suspect>,
    examined: Option<Examined>,
    /// The server that was examined last: the others go first.
    last: u32,
    /// In the map `settings`: which server the packet path is to tally.
    tally: Mapped<layout::Recount>,
}

/// A server whose count differs from what the sweeps see.
#[derive(Clone, Copy)]
struct Suspect {
    difference: u64,
    doubts: u32,
}

/// The server that is being examined, and what this sweep does about it.
#[derive(Clone, Copy)]
struct Examined {
    server: u32,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Takes the flags of an earlier tally away.
    Forget,
    /// Tallies.
    Tally,
    /// Waits: if the count is still wrong by this much, it is put right.
    Confirm(u64),
}

/// A count that was put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Index into the map `servers`.
    pub server: u32,
    /// What was there.
    pub before: Load,
    /// What it is now.
    pub now: Load,
}

/// When a server is examined: each sweep that finds a difference adds one doubt, one that finds the
/// same difference again adds many. So a wrong count is examined after two sweeps, and a busy
/// server, whose count seems to differ each time, seldom.
const DOUBTS: u32 = 16;

/// How often the count and the tally are compared. A packet changes one right after the other; a
/// difference that stays through all comparisons is no packet's.
const COMPARISONS: u32 = 1000;

impl Recount {
    /// Nothing is counted yet. `tally` is the part of the map `settings`.
    pub fn new(servers: u32, tally: Mapped<layout::Recount>) -> Self {
        // An earlier daemon may have died while it examined a server.
        tally.write(0, layout::Recount::default());
        Self {
            counted: vec![0; servers as usize],
            suspects: HashMap::new(),
            examined: None,
            last: 0,
            tally,
        }
    }

    /// A connection of this server is in the table.
    pub fn see(&mut self, server: u32, active: bool) {
        if let Some(counted) = self.counted.get_mut(server as usize) {
            *counted = counted.wrapping_add(Load::one(active));
        }
    }

    /// What the program `sweep` has to do with each connection for the tally.
    pub fn order(&self) -> u32 {
        match self.examined {
            Some(Examined {
                stage: Stage::Forget,
                ..
            }) => FORGET,
            Some(Examined {
                stage: Stage::Tally,
                ..
            }) => TALLY,
            _ => 0,
        }
    }

    /// A sweep has seen the whole table.
    pub fn finish(&mut self, servers: &Counts) -> Option<Mended> {
        let mut suspects = HashMap::new();
        for (server, counted) in (0..).zip(&mut self.counted) {
            let load = servers.load(server).bits();
            let difference = load.wrapping_sub(std::mem::take(counted));
            if difference != 0 {
                let doubts = match self.suspects.get(&server) {
                    None => 1,
                    Some(before) if before.difference == difference => before.doubts + DOUBTS,
                    Some(before) => before.doubts + 1,
                };
                suspects.insert(server, Suspect { difference, doubts });
            }
        }
        self.suspects = suspects;
        // The packet path may have grown.
        self.counted.resize(servers.capacity() as usize, 0);
        let Some(examined) = self.examined else {
            self.examined = self.next_suspect();
            return None;
        };
        let (stage, mended) = self.advance(examined, servers);
        self.examined = stage.map(|stage| Examined { stage, ..examined });
        if self.examined.is_none() {
            self.last = examined.server;
            self.suspects.remove(&examined.server);
            self.tally.write(0, layout::Recount::default());
        }
        mended
    }

    /// The next stage of an examination; `None` at its end.
    fn advance(&self, examined: Examined, servers: &Counts) -> (Option<Stage>, Option<Mended>) {
        let Examined { server, stage } = examined;
        match stage {
            Stage::Forget => {
                // The next sweep begins later than any packet's walk that is under way now ends.
                let named = layout::Recount {
                    server: server + 1,
                    ..layout::Recount::default()
                };
                self.tally.write(0, named);
                (Some(Stage::Tally), None)
            }
            Stage::Tally => (self.difference(server, servers).map(Stage::Confirm), None),
            Stage::Confirm(wrong) if self.difference(server, servers) == Some(wrong) => {
                let before = servers.load(server);
                servers.add_load(server, wrong.wrapping_neg());
                crash::after(Step::LoadMended);
                let mended = Mended {
                    server,
                    before,
                    now: Load::from_bits(before.bits().wrapping_sub(wrong)),
                };
                (None, Some(mended))
            }
            Stage::Confirm(_) => (None, None),
        }
    }

    /// By how much a server's count is wrong; `None` if it is right, or where that cannot be
    /// told because both change too fast.
    fn difference(&self, server: u32, servers: &Counts) -> Option<u64> {
        let difference = || {
            let tally = self.tally.read(0).unwrap_or_default().tally;
            servers.load(server).bits().wrapping_sub(tally)
        };
        let first = difference();
        let stays = (0..COMPARISONS).all(|_| difference() == first);
        (stays && first != 0).then_some(first)
    }

    /// The server to be examined next: in turns, so that busy ones, whose counts differ in every
    /// sweep, hold nobody up.
    fn next_suspect(&self) -> Option<Examined> {
        let doubtful = || {
            let suspects = self.suspects.iter();
            suspects.filter_map(|(&server, suspect)| (suspect.doubts >= DOUBTS).then_some(server))
        };
        let after = doubtful().filter(|&server| server > self.last).min();
        after.or_else(|| doubtful().min()).map(|server| Examined {
            server,
            stage: Stage::Forget,
        })
    }
}
