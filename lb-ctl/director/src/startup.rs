//! What the daemon finds when it starts: the record of the one before, and the packet path that
//! is running, or else a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use lb_dataplane::{Dataplane, Size};
use lb_model::{Desired, merge::Written};
use lb_network::{Changes, Routing};
use tokio::sync::mpsc;

use crate::{
    clients::Clients,
    core::Event,
    interfaces::Interfaces,
    log::Log,
    lookups::Lookups,
    maintenance::Maintenance,
    options::Options,
    record::{
        Recorded,
        file::{Found, RecordFile},
    },
    replies::Replies,
    shell::Shell,
};

/// What the daemon begins with.
pub struct Opened {
    /// What orders are carried out with.
    pub shell: Shell,
    /// What was recorded; nothing if there is no record that can be used.
    pub recorded: Option<Recorded>,
    /// What comes in from the network.
    pub news: News,
}

/// What comes in from the network, besides requests.
pub struct News {
    /// What changes.
    pub changes: Changes,
    /// What the core has asked for.
    pub answers: mpsc::UnboundedReceiver<Event>,
}

/// Loads the packet path, or adopts the one that runs.
pub async fn open(options: &Options, written: &Written) -> Result<Opened> {
    let (mut record, found) = RecordFile::open(&options.instance)
        .context("cannot find out which boot of the machine this is")?;
    let recorded = usable(found);
    let wanted = match &recorded {
        Some(recorded) => written.again(&recorded.files.own, &recorded.desired),
        None => written.alone(),
    };
    if wanted.interfaces.is_empty() {
        bail!(
            "no interface to attach to: name one by --interface, or under `interfaces:` in {}",
            options.name()
        );
    }
    let (routing, changes) = Routing::open().await?;
    let routing = Arc::new(routing);
    let running = lb_dataplane::attached(options.instance.as_str())?;
    let remembered = recorded.iter().flat_map(|recorded| &recorded.interfaces);
    let remembered = remembered.filter(|(_, index)| running.contains(index));
    let remembered = remembered.map(|(name, &index)| (name.clone(), index));
    let remembered = remembered.collect();
    let known = recorded.iter().flat_map(|it| it.desired.interfaces.clone());
    let interfaces = Interfaces::new(
        options.mode,
        Arc::clone(&routing),
        known.collect(),
        remembered,
    );
    interfaces.look_up(&wanted.interfaces).await?;
    let dataplane = Dataplane::open(options.instance.as_str(), size(&wanted))?;
    if dataplane.adopted() {
        tracing::info!("adopted the packet path that was running");
    }
    if recorded.is_none() {
        if dataplane.adopted() {
            tracing::error!(
                "there is no record of what was desired: {} counts, live edits that it does not \
                 have are lost",
                options.name()
            );
        }
        let nothing = Desired {
            connections: dataplane.view().capacity(),
            ..Desired::default()
        };
        let nothing = Recorded {
            desired: nothing,
            ..Recorded::default()
        };
        record
            .rewrite(&nothing)
            .context("cannot write the record")?;
    }
    let (lookups, answers) = Lookups::new(Arc::clone(&routing));
    let clients = Clients::new(Arc::clone(&routing));
    let shell = Shell {
        record,
        dataplane,
        interfaces,
        routing,
        lookups,
        clients,
        maintenance: Maintenance::new(),
        replies: Replies::new(),
        log: Log::default(),
        needs_changed: true,
        needs_due: Instant::now(),
        ways_out_seen: BTreeSet::new(),
        to_clients: BTreeSet::new(),
        recorded_interfaces: BTreeMap::new(),
    };
    Ok(Opened {
        shell,
        recorded,
        news: News { changes, answers },
    })
}

/// The record, if it can be used; why not, is logged.
fn usable(found: Found) -> Option<Recorded> {
    match found {
        Found::Nothing => None,
        Found::Recorded { recorded, torn } => {
            if torn > 0 {
                tracing::warn!(
                    "the last line of the record was not written to its end ({torn} bytes): the \
                     last daemon crashed before it made that change"
                );
            }
            Some(*recorded)
        }
        Found::OtherBoot => {
            tracing::info!(
                "the machine was rebooted since the last daemon ran: its record is ignored"
            );
            None
        }
        Found::Damaged(why) => {
            tracing::error!("the record of the live configuration cannot be used: {why}");
            None
        }
    }
}

fn size(wanted: &Desired) -> Size {
    let servers = wanted.services.iter().map(|s| s.servers.len() as u32);
    Size {
        connections: wanted.connections,
        servers: servers.sum(),
        services: wanted.services.len() as u32,
    }
}
