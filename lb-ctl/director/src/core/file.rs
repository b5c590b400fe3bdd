//! How it is carried out what a file says.

use lb_api::Reply;
use lb_model::{Change, Desired, Undo, difference, merge::Written, spelling};

use super::{
    adopted::Adopted,
    batch::{self, Made, Running},
    machine,
    state::State,
    task::{Task, Todo, Way},
    telling::{self, Edited},
    told::{Level, Told},
};
use crate::record::{Files, Line};

/// What a file would change if it were applied.
#[must_use]
pub fn dry_run(written: &Written, state: &State) -> Reply {
    let after = written.over(&state.files.last, &state.desired);
    match machine::refuses(&after, state) {
        Some(why) => Reply::failed(why),
        None => {
            let mut lines = difference::between(&state.desired, &after);
            lines.extend(telling::unserved(after.services.iter(), &state.network));
            Reply::Lines(lines)
        }
    }
}

/// Begins to do what a file says, or answers where there is nothing to do. `record` goes before.
pub fn begin(state: &mut State, task: Task, record: Vec<Line>) -> Option<Running> {
    let Todo::File { written, name, way } = &task.todo else {
        return None;
    };
    let (after, files) = meaning(written, way, state);
    if let Some(why) = machine::refuses(&after, state) {
        let reply = Reply::failed(format!("cannot apply {name}: {why}"));
        state.orders.forget_and_reply(task.token, reply);
        return None;
    }
    let before = &state.desired;
    let lines = difference::between(before, &after);
    let edited = Edited::since(&state.files.own.alone(), before);
    let mut told = telling::change(&lines, &edited, &task.by);
    let mut foreign = Vec::new();
    if let Way::Start(adopted) = way {
        foreign = adopted.foreign(before, &after);
        let lines = foreign.iter().map(|id| {
            format!("- {id}, which is in the packet path and neither recorded nor in {name}")
        });
        let lines: Vec<_> = lines.collect();
        told.extend(telling::change(&lines, &edited, &task.by));
        told.extend(edits_kept(adopted, written, name, &after));
    }
    let is_start = task.adopted().is_some();
    let mut undo = Undo::default();
    let mut changes = Vec::new();
    if *before != after {
        let change = Change::Replace(Box::new(after));
        // To replace everything cannot fail.
        let _ = change.make(&mut state.desired, &mut undo);
        changes.push(change);
    }
    let files = Some(files).filter(|files| *files != state.files);
    state.orders.tell(told);
    if !is_start && changes.is_empty() && files.is_none() {
        let lines = telling::unserved(state.desired.services.iter(), &state.network);
        let reply = Reply::Lines(lines);
        state.orders.forget_and_reply(task.token, reply);
        return None;
    }
    let mut work = match is_start {
        true => state.whole_work(foreign.iter().chain(&undo.touched(&state.desired))),
        false => state.work_since(&undo),
    };
    work.record = record;
    let made = Made {
        changes,
        undo,
        files,
        work,
    };
    let mut running = batch::begin(state, task, made);
    running.batch.lines = lines;
    Some(running)
}

/// What is desired if a file is done, and what files have said then.
fn meaning(written: &Written, way: &Way, state: &State) -> (Desired, Files) {
    let before = &state.files;
    if let Way::Apply { own } = way {
        let own = if *own { written } else { &before.own };
        let files = Files {
            own: own.clone(),
            last: written.clone(),
        };
        return (written.over(&before.last, &state.desired), files);
    }
    // A file that means the same as before does nothing: the last one stays the last.
    let same = *written == before.own;
    let last = if same { &before.last } else { written };
    let files = Files {
        own: written.clone(),
        last: last.clone(),
    };
    let mut after = written.again(&before.own, &state.desired);
    if let Way::Start(_) = way {
        after.connections = state.capacity;
    }
    (after, files)
}

/// Tells how many live edits a start keeps.
fn edits_kept(adopted: &Adopted, written: &Written, name: &str, after: &Desired) -> Option<Told> {
    if !adopted.known {
        return None;
    }
    let mut file = written.alone();
    file.connections = after.connections;
    let edits = difference::between(&file, after).len();
    if edits == 0 {
        return None;
    }
    let edits = spelling::count(edits, "change");
    let line = format!("{edits} made live that {name} does not have: kept");
    Told::lines(Level::Info, vec![line])
}
