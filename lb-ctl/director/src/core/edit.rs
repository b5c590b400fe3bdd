//! Live edits: how the changes of a request are carried out, a part after the other.

use lb_model::{difference, spelling};

use super::{
    batch::{self, Made, Running},
    state::State,
    task::{Task, Todo},
    telling::{self, Edited},
};

/// Begins the next part of some changes, or answers when there is none.
pub fn next(state: &mut State, mut task: Task) -> Option<Running> {
    while let Todo::Changes(changes) = &mut task.todo {
        let Some(part) = changes.next() else {
            break;
        };
        let reaches = &state.network.reaches;
        let attempt = changes.attempt(part.clone(), &mut state.desired, reaches);
        if attempt.undo.is_empty() {
            changes.done(Vec::new(), attempt.refused);
            continue;
        }
        let mut work = state.work_since(&attempt.undo);
        work.zero = attempt.undo.zeroed(&state.desired);
        let mut lines = difference::since(&attempt.undo, &state.desired);
        if !work.zero.is_empty() {
            let zeroed = spelling::first_of(&work.zero);
            lines.push(format!("~ counters of {zeroed} are shown from here on"));
        }
        let told = telling::change(&lines, &Edited::default(), &task.by);
        state.orders.tell(told);
        let made = Made {
            changes: attempt.made,
            undo: attempt.undo,
            files: None,
            work,
        };
        let mut running = batch::begin(state, task, made);
        running.batch.lines = lines;
        running.batch.refused = attempt.refused;
        running.batch.part = part;
        return Some(running);
    }
    if let Todo::Changes(changes) = task.todo {
        // A new server of a refused change is nobody's.
        match changes.is_refused() {
            true => state.orders.forget_and_reply(task.token, changes.reply()),
            false => state.orders.reply(task.token, changes.reply()),
        }
    }
    None
}
