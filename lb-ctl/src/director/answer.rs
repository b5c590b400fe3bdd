//! What the daemon answers to each request.

use super::{RunOptions, ipvs::listing, report, resume, state::Director, task::Change};
use crate::{
    api::{Reply, Request},
    ipvs,
    plan::plan,
};

/// What becomes of a request.
pub enum Answer {
    /// It is answered.
    Reply(Reply),
    /// It changes the director, and is answered when that is done.
    Change(Change),
}

/// Answers what changes nothing, and reads what does.
pub fn answer(options: &RunOptions, director: &Director, request: Request) -> Answer {
    Answer::Reply(match request {
        Request::Apply { source, dry_run } => match Change::to_file(options, &source) {
            Ok(Change::Apply { desired, .. }) if dry_run => {
                let plan = plan(&director.desired, &desired);
                match plan.refusal() {
                    Some(why) => Reply::failed(why),
                    None => Reply::Plan(plan.lines()),
                }
            }
            Ok(change) => return Answer::Change(change),
            Err(reply) => reply,
        },
        Request::Edit(edit) => return Answer::Change(Change::Edit(edit)),
        Request::Saved { checksum } => {
            if resume::own_checksum(options) == Some(checksum) {
                director.dataplane.note_file(checksum);
            }
            Reply::Done
        }
        Request::Show => Reply::Desired(director.desired.clone()),
        Request::Stats => match report::stats(director) {
            Ok(stats) => Reply::Stats(stats),
            Err(error) => Reply::failed(format!("cannot read the counters: {error:#}")),
        },
        Request::Connections {
            filter,
            cursor,
            limit,
        } => match filter.resolved(&director.desired) {
            Ok(filter) => report::connections(&director.dataplane, &filter, cursor, limit),
            Err(error) => error.into(),
        },
        Request::Ipvs(ipvs::Request::Change(changes)) => {
            return Answer::Change(Change::Ipvs(changes));
        }
        Request::Ipvs(ipvs::Request::List { service, numbers }) => {
            Reply::Ipvs(listing::list(director, service, numbers))
        }
        Request::Ipvs(ipvs::Request::Timeouts) => {
            Reply::Ipvs(ipvs::Reply::Timeouts(director.desired.timeouts))
        }
        Request::Detach => match director.dataplane.take_down() {
            Ok(()) => Reply::Done,
            Err(error) => Reply::failed(format!("{error:#}")),
        },
    })
}
