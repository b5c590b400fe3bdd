//! A batch of changes on its way into the packet path.

use std::{mem, ops::Range};

use lb_api::Refused;
use lb_model::{Change, ServiceId, Undo};

use super::{
    order::{Order, Work},
    state::State,
    task::Task,
};
use crate::record::{Files, Line};

/// A task, and the batch of its changes that is being carried out.
#[derive(Debug)]
pub struct Running {
    /// The task.
    pub task: Task,
    /// The batch.
    pub batch: Batch,
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
    /// True if it has a line in the record.
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

/// Changes that are made in what is desired, and not yet in the packet path.
#[derive(Debug, Default)]
pub struct Made {
    /// The changes.
    pub changes: Vec<Change>,
    /// Undoes them.
    pub undo: Undo,
    /// The files, where they change.
    pub files: Option<Files>,
    /// What the packet path has to be told.
    pub work: Work,
}

/// Orders the work that brings changes into the record and the packet path.
pub fn begin(state: &mut State, task: Task, made: Made) -> Running {
    let Made {
        changes,
        undo,
        files,
        mut work,
    } = made;
    work.number = state.number + 1;
    let recorded = !changes.is_empty() || files.is_some();
    if recorded {
        // The record counts the batches that it has.
        state.number = work.number;
        work.record.push(Line::Batch {
            number: work.number,
            changes,
            files: files.clone().map(Box::new),
        });
    }
    let before = files.map(|files| mem::replace(&mut state.files, files));
    let number = work.number;
    state.orders.give(Order::Work(work));
    let batch = Batch {
        number,
        undo,
        files: before,
        recorded,
        lines: Vec::new(),
        part: 0..0,
        refused: Vec::new(),
        failed: None,
    };
    Running { task, batch }
}
