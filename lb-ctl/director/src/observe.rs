//! What can be told while no daemon runs: from the record and the pinned maps, of which nothing is
//! changed.

use anyhow::{Result, bail};
use lb_api::{Instance, Numbers, Reply, Request};
use lb_dataplane::View;

use crate::{
    core::Reaches,
    interfaces::Shown,
    losses::Losses,
    orphan::Orphan,
    record::{Recorded, file},
    report::Report,
};

/// What was found.
#[derive(Debug)]
pub struct Observed {
    /// The answer.
    pub reply: Reply,
    /// What the packet path is attached to.
    pub orphan: Orphan,
}

/// The answer to a request that only reads. `None` if there is no packet path, or if only a daemon
/// can answer.
pub fn observe(instance: &Instance, request: &Request) -> Result<Option<Observed>> {
    let reads = matches!(
        request,
        Request::Show
            | Request::Stats
            | Request::List { .. }
            | Request::Timeouts
            | Request::Connections { .. }
    );
    if !reads {
        return Ok(None);
    }
    let Some(view) = View::of(instance.as_str())? else {
        return Ok(None);
    };
    let recorded = file::look(instance)?;
    let Some(Recorded { desired, .. }) = recorded else {
        bail!(
            "the packet path of instance `{instance}` runs, but there is no record of what is \
             desired: start the daemon with its file"
        );
    };
    if let Request::List {
        numbers: Numbers::Rates,
        ..
    } = request
    {
        bail!("rates are estimated by the daemon of instance `{instance}`, and none is running");
    }
    let orphan = Orphan::of(instance)?;
    let mut troubles = vec!["no daemon is running".to_owned()];
    if orphan.elsewhere {
        troubles.push("the packet path belongs to another network namespace".to_owned());
    }
    let report = Report {
        desired: &desired,
        reaches: &Reaches::default(),
        view: &view,
        interfaces: orphan
            .interfaces
            .iter()
            .map(|name| Shown::attached(name))
            .collect(),
        troubles,
        losses: &Losses::default(),
        daemon: None,
    };
    let reply = match request {
        Request::Stats => Reply::Stats(report.stats()?),
        Request::List { service, numbers } => report.list(service.as_ref(), *numbers),
        Request::Connections {
            filter,
            from,
            limit,
        } => report.connections(filter, *from, *limit),
        Request::Timeouts => Reply::Timeouts(desired.timeouts.clone()),
        _ => Reply::Desired(Box::new(desired.clone())),
    };
    Ok(Some(Observed { reply, orphan }))
}
