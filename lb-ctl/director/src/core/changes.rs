//! The changes of a request: which of them are made, refused, or still to be done.

use std::ops::Range;

use lb_api::{ErrorKind, Refused, Reply};
use lb_model::{Change, Desired, Refusal, Undo};

use super::{machine, reaches::Reaches, telling::TROUBLE};

/// Changes of one request that are being carried out.
#[derive(Debug)]
pub struct Changes {
    changes: Vec<Change>,
    tell: bool,
    /// Parts that are still to be done; the last of them is next.
    parts: Vec<Range<usize>>,
    lines: Vec<String>,
    refused: Vec<Refused>,
    /// Parts of a single change that the packet path could not do.
    failures: usize,
}

/// What became of an attempt to change what is desired.
#[derive(Debug, Default)]
pub struct Attempt {
    /// The changes that were made.
    pub made: Vec<Change>,
    /// Undoes them.
    pub undo: Undo,
    /// The changes that were refused.
    pub refused: Vec<Refused>,
}

/// After so many single failures, a part that fails is not halved any more. Otherwise, when the
/// packet path has no room at all, each of thousands of changes would be tried alone, and other
/// requests would have to wait.
const SOUGHT: usize = 100;

impl Changes {
    /// All still to be done.
    #[must_use]
    pub fn new(changes: Vec<Change>, tell: bool) -> Self {
        let all = 0..changes.len();
        Self {
            changes,
            tell,
            parts: vec![all],
            lines: Vec::new(),
            refused: Vec::new(),
            failures: 0,
        }
    }

    /// Takes the next part off the list.
    pub fn next(&mut self) -> Option<Range<usize>> {
        self.parts.pop()
    }

    /// Makes a part of the changes, each where it is allowed.
    pub fn attempt(&self, part: Range<usize>, desired: &mut Desired, reaches: &Reaches) -> Attempt {
        let mut attempt = Attempt::default();
        for place in part {
            let change = &self.changes[place];
            if let Some(message) = machine::refuses_change(change, desired, reaches) {
                attempt.refused.push(Refused {
                    place,
                    refusal: Refusal::Invalid,
                    kind: ErrorKind::Failed,
                    message,
                });
                continue;
            }
            match change.make(desired, &mut attempt.undo) {
                // Not recorded: counters are the packet path's alone.
                Ok(()) if matches!(change, Change::Zero { .. }) => {}
                Ok(()) => attempt.made.push(change.clone()),
                Err(error) => attempt.refused.push(Refused::of(place, &error)),
            }
        }
        attempt
    }

    /// Takes in a part that was done.
    pub fn done(&mut self, lines: Vec<String>, refused: Vec<Refused>) {
        // What keeps a service from being served is told in any case.
        let told = |line: &String| self.tell || line.starts_with(TROUBLE);
        self.lines.extend(lines.into_iter().filter(told));
        self.refused.extend(refused);
    }

    /// Takes in a part that the packet path could not do. It is halved and tried again, so that in
    /// the end only those changes are refused that cannot be done. True if the part was given up.
    pub fn failed(&mut self, part: Range<usize>, why: &str) -> bool {
        if part.len() > 1 && self.failures < SOUGHT {
            let middle = part.start + part.len() / 2;
            self.parts.extend([middle..part.end, part.start..middle]);
            return false;
        }
        self.failures += 1;
        self.refused.extend(part.map(|place| Refused {
            place,
            refusal: Refusal::NoMemory,
            kind: ErrorKind::Failed,
            message: why.to_owned(),
        }));
        true
    }

    /// True if some of them were refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// What is answered when all is done.
    #[must_use]
    pub fn reply(self) -> Reply {
        let mut refused = self.refused;
        refused.sort_by_key(|refused| refused.place);
        Reply::Changed {
            lines: self.lines,
            refused,
        }
    }
}
