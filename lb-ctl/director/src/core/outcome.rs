//! What follows when the work of a batch is done, or could not be done.

use std::{mem, ops::Range};

use lb_api::Reply;
use lb_model::{Fault, spelling};

use super::{
    batch::Running,
    edit,
    order::{Order, Work},
    start,
    state::State,
    task::{Task, Todo, Way},
    telling,
    told::Level,
};
use crate::record::Line;

/// Takes in what became of a batch's work. Gives what runs then.
pub fn of(state: &mut State, mut running: Running, outcome: Result<(), Fault>) -> Option<Running> {
    match (running.batch.failed.take(), outcome) {
        (None, Ok(())) => done(state, running),
        (None, Err(error)) => Some(put_back(state, running, error.to_string())),
        (Some((why, _)), Ok(())) => failed(state, running, why, false),
        (Some((why, touched)), Err(error)) => {
            state.broken.get_or_insert_default().extend(touched);
            let why = format!("{why}; and the previous state cannot be restored: {error}");
            let line = format!("{why}; trying again every second");
            state.orders.say(Level::Error, line);
            failed(state, running, why, true)
        }
    }
}

fn done(state: &mut State, running: Running) -> Option<Running> {
    let Running { mut task, batch } = running;
    let adopted = task.adopted();
    let in_doubt = adopted.is_some_and(|adopted| !adopted.doubts.is_empty());
    if batch.recorded || in_doubt {
        let number = state.number;
        state.orders.give(Order::Record(Line::Done { number }));
    }
    let network = &state.network;
    match &mut task.todo {
        Todo::Changes(changes) => {
            let mut lines = batch.lines;
            let touched = batch.undo.touched(&state.desired);
            let touched = touched
                .iter()
                .filter_map(|id| state.desired.services.get(*id));
            lines.extend(telling::unserved(touched, network));
            changes.done(lines, batch.refused);
            return edit::next(state, task);
        }
        Todo::File { way, .. } => {
            let reply = match way {
                Way::Start(_) => Reply::Done,
                Way::Apply { .. } | Way::Again => {
                    let services = state.desired.services.iter();
                    let mut lines = batch.lines;
                    lines.extend(telling::unserved(services, network));
                    Reply::Lines(lines)
                }
            };
            state.orders.forget_and_reply(task.token, reply);
        }
        Todo::Saved(_) => state.orders.reply(task.token, Reply::Done),
    }
    None
}

/// Takes a batch back that the packet path could not do, in the record first: a daemon that
/// starts after a crash must not try it again.
fn put_back(state: &mut State, mut running: Running, why: String) -> Running {
    let Running { task, batch } = &mut running;
    let mut touched = batch.undo.touched(&state.desired);
    let unreachable = state.desired.unreachable;
    let (timeouts, interfaces) = (
        state.desired.timeouts.clone(),
        state.desired.interfaces.clone(),
    );
    mem::take(&mut batch.undo).revert(&mut state.desired);
    if let Some(files) = batch.files.take() {
        state.files = files;
    }
    if unreachable != state.desired.unreachable {
        state.add_all(&mut touched);
    }
    let mut work = state.work_on(&touched);
    if timeouts != state.desired.timeouts {
        work.timeouts = Some(state.desired.timeouts.clone());
    }
    if interfaces != state.desired.interfaces {
        work.interfaces = Some(state.desired.interfaces.clone());
    }
    // Nobody knows what an unrecorded packet path did before.
    if task.adopted().is_some_and(|adopted| !adopted.known) {
        work = Work::default();
    }
    work.number = batch.number;
    if batch.recorded {
        let number = batch.number;
        work.record.push(Line::Undone { number });
    }
    batch.failed = Some((why, touched));
    state.orders.give(Order::Work(work));
    running
}

/// After a batch failed, and what was before was put back. Where that failed, too, the record
/// may still have the batch, and is written anew (`rewrite`).
fn failed(state: &mut State, running: Running, why: String, rewrite: bool) -> Option<Running> {
    let Running { mut task, batch } = running;
    if let Todo::File {
        way: Way::Start(adopted),
        ..
    } = &mut task.todo
        && let Some(doubt) = adopted.doubts.pop()
    {
        adopted.rewritten |= rewrite;
        let rewrite = adopted.rewritten;
        // The attempt has put them into the packet path.
        adopted.services.extend(doubt.undo.touched(&state.desired));
        return start::again_without(state, task, doubt, rewrite, &why);
    }
    if rewrite {
        let recorded = state.recorded();
        state.orders.give(Order::Rewrite(Box::new(recorded)));
    }
    refuse(state, task, batch.part, &why)
}

/// Answers that something was not done, or goes on with the rest of some changes.
fn refuse(state: &mut State, mut task: Task, part: Range<usize>, why: &str) -> Option<Running> {
    match &mut task.todo {
        Todo::Changes(changes) => {
            if changes.failed(part.clone(), why) {
                let count = spelling::count(part.len(), "change");
                let line = format!("{count} not made: {why}");
                state.orders.say_by(Level::Warn, line, &task.by);
            }
            return edit::next(state, task);
        }
        Todo::File { name, .. } => {
            let reply = Reply::failed(format!("cannot apply {name}: {why}"));
            state.orders.forget_and_reply(task.token, reply);
        }
        Todo::Saved(_) => state.orders.reply(task.token, Reply::failed(why)),
    }
    None
}
