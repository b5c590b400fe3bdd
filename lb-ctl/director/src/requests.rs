//! Requests: those that only read are answered here, the others are for the core.

use std::fs;

use lb_api::{Peer, Reply, Request};

use crate::{
    core::{Asked, By},
    options::Options,
    report::Report,
};

/// Who answers a request.
pub enum Answer {
    /// Nobody else: this is the reply.
    Reply(Reply),
    /// The core, to which it is handed as an event.
    Ask(By, Asked),
    /// The daemon, once it has taken the packet path down.
    Detach,
}

/// Answers a request, or says who does.
pub fn answer(options: &Options, report: &Report<'_>, peer: Peer, request: Request) -> Answer {
    let verb = verb(&request);
    let by = |verb| By::Peer { peer, verb };
    Answer::Reply(match request {
        Request::Apply {
            text,
            name,
            dry_run,
        } => match lb_config::parse(&text, &name) {
            Ok(written) => {
                let own = is_own(options, &text);
                let written = match own {
                    true => options.own(written),
                    false => options.other(written),
                };
                let asked = Asked::Apply {
                    written,
                    name,
                    own,
                    dry_run,
                };
                return Answer::Ask(by(verb), asked);
            }
            Err(error) => Reply::bad_request(error),
        },
        Request::Change { changes, tell, .. } => {
            return Answer::Ask(by(verb), Asked::Change { changes, tell });
        }
        Request::Saved { text } if is_own(options, &text) => {
            match lb_config::parse(&text, &options.name()) {
                Ok(written) => {
                    let asked = Asked::Saved(options.own(written));
                    return Answer::Ask(by(verb), asked);
                }
                Err(error) => Reply::bad_request(error),
            }
        }
        Request::Saved { .. } => Reply::Done,
        Request::Show => Reply::Desired(Box::new(report.desired.clone())),
        Request::Stats => match report.stats() {
            Ok(stats) => Reply::Stats(stats),
            Err(error) => Reply::failed(format!("cannot read the counters: {error:#}")),
        },
        Request::List { service, numbers } => report.list(service.as_ref(), numbers),
        Request::Timeouts => Reply::Timeouts(report.desired.timeouts.clone()),
        Request::Connections {
            filter,
            from,
            limit,
        } => report.connections(&filter, from, limit),
        // The daemon cannot start one yet.
        Request::SyncDaemons => Reply::SyncDaemons(Vec::new()),
        Request::Detach => return Answer::Detach,
    })
}

/// The command that asks for a change, as far as it is known.
pub fn verb(request: &Request) -> String {
    match request {
        Request::Apply { name, .. } => format!("apply {name}"),
        Request::Change { verb, .. } => verb.clone(),
        Request::Saved { .. } => "save".to_owned(),
        Request::Detach => "detach".to_owned(),
        _ => String::new(),
    }
}

/// True if the daemon's own file has exactly this text.
fn is_own(options: &Options, text: &str) -> bool {
    let file = options.file();
    file.is_some_and(|file| fs::read(file).is_ok_and(|own| own == text.as_bytes()))
}
