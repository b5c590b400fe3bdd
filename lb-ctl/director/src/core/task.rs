//! What waits to be done, or is being done.

use std::{net::IpAddr, ops::Range};

use lb_api::{Refused, Reply};
use lb_model::{Change, Desired, Refusal, ServiceId, Undo, merge::Written};

use super::{
    effective::{self, Effective},
    event::{By, Token},
    order::Work,
    reaches::Reaches,
    scope::Scope,
};
use crate::record::{Doubt, Files};

/// A request that changes what is desired.
#[derive(Debug)]
pub struct Task {
    /// Where the reply goes.
    pub token: Token,
    /// Who asks.
    pub by: By,
    /// What it may touch.
    pub scope: Scope,
    /// Addresses of which something has to be known first.
    pub addresses: Vec<IpAddr>,
    /// What is to be done.
    pub todo: Todo,
}

/// What is to be done.
#[derive(Debug)]
pub enum Todo {
    /// These changes.
    Changes(Changes),
    /// What a file says.
    File {
        /// What it says.
        written: Written,
        /// Its name.
        name: String,
        /// In which way.
        way: Way,
    },
    /// Only to note what the daemon's own file says now.
    Saved(Written),
}

/// How a file is applied.
#[derive(Debug)]
pub enum Way {
    /// All that it says.
    Apply {
        /// True for the daemon's own file.
        own: bool,
    },
    /// What it says otherwise than when it was read last.
    Again,
    /// The same, and all that is desired is put into the packet path.
    Start(FromStart),
}

/// What a daemon that starts has found.
#[derive(Debug)]
pub struct FromStart {
    /// Services that the packet path may have.
    pub services: Vec<ServiceId>,
    /// True where there was a record.
    pub known: bool,
    /// What the last daemon may not have done to the end.
    pub doubts: Vec<Doubt>,
    /// True if the record was written anew since: it does not say any more which batches these are.
    pub rewritten: bool,
}

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
            if let Some(refused) = not_here(place, change, desired, reaches) {
                attempt.refused.push(refused);
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
        if self.tell {
            self.lines.extend(lines);
        }
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
            kind: lb_api::ErrorKind::Failed,
            message: why.to_owned(),
        }));
        true
    }

    /// True where some of them were refused.
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

/// Why a change cannot be made on this machine.
fn not_here(
    place: usize,
    change: &Change,
    desired: &Desired,
    reaches: &Reaches,
) -> Option<Refused> {
    let invalid = |message: String| Refused {
        place,
        refusal: Refusal::Invalid,
        kind: lb_api::ErrorKind::Failed,
        message,
    };
    let service = match change {
        Change::AddServer { service, .. }
        | Change::SetServer { service, .. }
        | Change::SetService { service, .. } => desired.services.find(service)?,
        Change::Replace(_) => {
            let why = "everything at once comes from a file only: use `lb-ctl apply`";
            return Some(invalid(why.to_owned()));
        }
        _ => return None,
    };
    // A copy of this one service shows what the change would make of it.
    let brings = change.brings();
    let has_own = service.servers.iter().map(|server| server.id.address);
    if !has_own
        .chain(brings)
        .any(|address| reaches.is_local(address))
        || effective::check_methods(service, reaches).is_err()
    {
        return None;
    }
    let mut copy = Desired {
        services: [service.clone()].into_iter().collect(),
        ..Desired::default()
    };
    change.make(&mut copy, &mut Undo::default()).ok()?;
    let after = copy.services.get(service.id)?;
    let error = effective::check_methods(after, reaches).err()?;
    Some(invalid(error.to_string()))
}

/// A batch of changes that is being carried out.
#[derive(Debug)]
pub struct Batch {
    /// The number of its work, and of its line in the record.
    pub number: u64,
    /// Undoes the changes.
    pub undo: Undo,
    /// The files before, where they change.
    pub files: Option<Files>,
    /// True where it has a line in the record.
    pub recorded: bool,
    /// What it changes, line by line.
    pub lines: Vec<String>,
    /// For changes: which part it is.
    pub part: Range<usize>,
    /// For changes: those that were refused.
    pub refused: Vec<Refused>,
    /// While what was before is being put back: why it failed, and the services that it touched.
    pub failed: Option<(String, Vec<ServiceId>)>,
}

/// The work that makes the packet path do what is desired of some services.
#[must_use]
pub fn work(number: u64, touched: &[ServiceId], desired: &Desired, reaches: &Reaches) -> Work {
    let (mut put, mut remove): (Vec<Effective>, Vec<ServiceId>) = Default::default();
    for &id in touched {
        match desired.services.get(id) {
            Some(service) => put.push(effective::service(service, reaches)),
            None => remove.push(id),
        }
    }
    Work {
        number,
        put,
        remove,
        ..Work::default()
    }
}
