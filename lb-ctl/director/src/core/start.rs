//! What a daemon does when it starts: it goes on with what was recorded, and does what its file
//! says otherwise.

use super::{
    addresses,
    adopted::Adopted,
    batch::Running,
    event::{By, Start},
    file,
    order::Order,
    scope::Scope,
    state::State,
    task::{Task, Todo, Way},
    told::Level,
};
use crate::record::{Doubt, Line};

/// Takes over what was recorded. Gives the first task.
pub fn begin(state: &mut State, start: Start) -> Task {
    let Start {
        token,
        file,
        written,
        recorded,
        capacity,
        services,
    } = start;
    let known = recorded.is_some();
    let recorded = recorded.unwrap_or_default();
    state.capacity = capacity;
    state.desired = recorded.desired;
    state.desired.connections = capacity;
    state.files = recorded.files;
    state.number = recorded.number;
    if let Some(wanted) = written.connections
        && wanted != capacity
    {
        state.orders.say(
            Level::Warn,
            format!(
                "the table that is running was made for {capacity} connections and stays so; \
                 for {wanted} take it down with `lb-ctl detach` (connections are lost) and \
                 start again"
            ),
        );
    }
    let mut addresses = addresses::desired(&state.desired);
    addresses.extend(addresses::written(&written));
    // Those that come back where what was begun has to be taken back.
    let mut before = state.desired.clone();
    for doubt in recorded.doubts.iter().rev() {
        doubt.undo.clone().revert(&mut before);
        addresses.extend(addresses::desired(&before));
    }
    Task {
        token,
        by: By::Start { file: file.clone() },
        scope: Scope::All,
        addresses,
        todo: Todo::File {
            written,
            name: file,
            way: Way::Start(Adopted {
                services,
                known,
                doubts: recorded.doubts,
                rewritten: false,
            }),
        },
    }
}

/// Starts again without a batch that was begun before a crash, and may be what cannot be done.
/// `rewrite` is true where the record does not tell it from the rest.
pub fn again_without(
    state: &mut State,
    task: Task,
    doubt: Doubt,
    rewrite: bool,
    why: &str,
) -> Option<Running> {
    let Doubt {
        number,
        undo,
        files,
    } = doubt;
    state.orders.say(
        Level::Warn,
        format!(
            "what was being changed when the last daemon ended cannot be finished, and is taken \
             back: {why}"
        ),
    );
    undo.revert(&mut state.desired);
    state.desired.connections = state.capacity;
    state.files = files;
    let mut undone = Vec::new();
    match rewrite {
        true => {
            let recorded = state.recorded();
            state.orders.give(Order::Rewrite(Box::new(recorded)));
        }
        false => undone.push(Line::Undone { number }),
    }
    file::begin(state, task, undone)
}
