//! What changes the director, ready to be done: read, and with a place for the answer.

use std::net::Ipv4Addr;

use tokio::sync::oneshot;

use super::{RunOptions, resume};
use crate::{
    api::{Reply, Request},
    config::{self, Source},
    desired::Desired,
    edit::Edit,
    ipvs,
};

/// A change that somebody waits for.
pub struct Task {
    /// What is to be done.
    pub change: Change,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// A change.
pub enum Change {
    /// Make the live state equal to a file.
    Apply {
        /// What it says.
        desired: Desired,
        /// The file.
        source: Source,
        /// The checksum of the daemon's own file, where that says the same.
        own: Option<u32>,
    },
    /// A live edit.
    Edit(Edit),
    /// Changes in IPVS's words.
    Ipvs(Vec<ipvs::Change>),
}

impl Change {
    /// What a file asks for.
    pub fn to_file(options: &RunOptions, source: &Source) -> Result<Self, Reply> {
        let desired = config::parse(&source.text, &source.name).map_err(Reply::from)?;
        Ok(Self::Apply {
            desired: desired.with_interfaces(&options.interfaces),
            source: source.clone(),
            own: resume::own_checksum(options)
                .filter(|&own| own == config::checksum(source.text.as_bytes())),
        })
    }

    /// The servers that it may bring.
    pub fn servers(&self) -> Vec<Ipv4Addr> {
        match self {
            Self::Apply { desired, .. } => servers(desired),
            Self::Edit(edit) => edit.brings().into_iter().collect(),
            Self::Ipvs(changes) => changes.iter().filter_map(ipvs::Change::brings).collect(),
        }
    }
}

/// The servers of a configuration.
pub fn servers(desired: &Desired) -> Vec<Ipv4Addr> {
    let servers = desired.services.iter().flat_map(|service| &service.servers);
    servers.map(|server| server.id.address).collect()
}

/// SIGHUP: the file again. What comes of it is logged.
pub fn file_again(options: &RunOptions) -> Option<(Request, oneshot::Sender<Reply>)> {
    let Some(path) = options.file() else {
        tracing::warn!("SIGHUP: the configuration came by a pipe, there is no file to apply again");
        return None;
    };
    let name = path.display().to_string();
    let source = match config::read(path) {
        Ok(source) => source,
        Err(error) => {
            tracing::error!("{name} was not applied, all goes on as before: {error}");
            return None;
        }
    };
    let (reply, answer) = oneshot::channel();
    tokio::spawn(async move {
        match answer.await {
            Ok(Reply::Plan(lines)) => {
                tracing::info!("{name} applied again: {} changes", lines.len());
            }
            Ok(Reply::Error { message, .. }) => {
                tracing::error!("{name} was not applied, all goes on as before: {message}");
            }
            // Nothing else is answered, unless the daemon ends.
            Ok(_) | Err(_) => {}
        }
    });
    let request = Request::Apply {
        source,
        dry_run: false,
    };
    Some((request, reply))
}
