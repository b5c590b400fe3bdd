//! What the daemon answers to each request.

use super::{RunOptions, apply_source, report, state::Director};
use crate::{
    api::{Reply, Request},
    config::ConfigError,
    dataplane,
    desired::Desired,
    edit::Edit,
    plan::plan,
};

/// Does what is asked.
pub async fn answer(options: &RunOptions, director: &mut Director, request: Request) -> Reply {
    match request {
        Request::Apply { source, dry_run } => {
            match apply_source(options, director, &source, dry_run).await {
                Ok(lines) => Reply::Plan(lines),
                Err(error) if error.is::<ConfigError>() => Reply::bad_request(format!("{error:#}")),
                Err(error) => Reply::failed(format!("{error:#}")),
            }
        }
        Request::Show => Reply::Desired(director.desired.clone()),
        Request::Edit(edit) => change(director, &edit).await,
        Request::Stats => match report::stats(director) {
            Ok(stats) => Reply::Stats(stats),
            Err(error) => Reply::failed(format!("cannot read the counters: {error:#}")),
        },
        Request::Connections { filter, limit } => match filter.resolved(&director.desired) {
            Ok(filter) => report::connections(director, &filter, limit),
            Err(error) => error.into(),
        },
        Request::Detach => match dataplane::take_down(options.instance.as_str()) {
            Ok(_) => Reply::Done,
            Err(error) => Reply::failed(format!("{error:#}")),
        },
    }
}

async fn change(director: &mut Director, edit: &Edit) -> Reply {
    let desired: Desired = match edit.apply(&director.desired) {
        Ok(desired) => desired,
        Err(error) => return error.into(),
    };
    match director.edit(desired).await {
        Ok(before) => Reply::Plan(plan(&before, &director.desired).lines()),
        Err(error) => Reply::failed(format!("{error:#}")),
    }
}
