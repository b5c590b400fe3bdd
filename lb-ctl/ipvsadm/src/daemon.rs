//! The daemon of an instance, asked by its socket.

use std::io::{self, IsTerminal as _, Write as _};

use lb_api::{
    CallError, ConnectionFilter, ErrorKind, Instance, Listing, Numbers, Page, Reply, Request,
};
use lb_model::{
    Change, Refusal, ServiceId, Timeouts,
    sync::{Role, Sync},
};

use crate::kernel::{Failure, Kernel, Refused};

/// The daemon of an instance.
pub struct Daemon {
    instance: Instance,
}

impl Daemon {
    /// Of this instance.
    pub fn of(instance: Instance) -> Self {
        Self { instance }
    }

    fn ask(&self, request: &Request) -> Result<Reply, Failure> {
        Ok(lb_api::call(&self.instance, request)?)
    }
}

impl Kernel for Daemon {
    fn change(&mut self, changes: Vec<Change>, command: &str) -> Result<Vec<Refused>, Failure> {
        let request = Request::Change {
            changes,
            tell: false,
            verb: command.to_owned(),
        };
        match self.ask(&request)? {
            Reply::Changed { refused, lines } => {
                tell_people(&lines);
                let refused = refused.into_iter();
                Ok(refused
                    .map(|it| Refused {
                        place: it.place,
                        refusal: it.refusal,
                        limit: (it.refusal == Refusal::NoMemory).then_some(it.message),
                    })
                    .collect())
            }
            other => Err(unexpected(other)),
        }
    }

    fn list(
        &mut self,
        service: Option<ServiceId>,
        numbers: Numbers,
    ) -> Result<Option<Listing>, Failure> {
        let request = Request::List {
            service: service.map(Into::into),
            numbers,
        };
        match self.ask(&request)? {
            Reply::Listing(listing) => Ok(Some(listing)),
            Reply::Error {
                kind: ErrorKind::NoService,
                ..
            } => Ok(None),
            other => Err(unexpected(other)),
        }
    }

    fn connections(&mut self, from: u64) -> Result<Page, Failure> {
        let request = Request::Connections {
            filter: ConnectionFilter::default(),
            from,
            // The daemon ends each page where it has others to serve.
            limit: usize::MAX,
        };
        match self.ask(&request)? {
            Reply::Connections(page) => Ok(page),
            other => Err(unexpected(other)),
        }
    }

    fn timeouts(&mut self) -> Result<Timeouts, Failure> {
        match self.ask(&Request::Timeouts)? {
            Reply::Timeouts(timeouts) => Ok(timeouts),
            other => Err(unexpected(other)),
        }
    }

    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure> {
        match self.ask(&Request::SyncDaemons)? {
            Reply::SyncDaemons(daemons) => Ok(daemons),
            other => Err(unexpected(other)),
        }
    }
}

/// What keeps a service from being served. Scripts are told nothing that ipvsadm does not say.
fn tell_people(troubles: &[String]) {
    let mut to = io::stderr();
    if to.is_terminal() {
        for trouble in troubles {
            // Nobody has to read it.
            let _ = writeln!(to, "{trouble}");
        }
    }
}

fn unexpected(reply: Reply) -> Failure {
    Failure::Other(match reply {
        Reply::Error { message, .. } => message,
        _ => "the daemon sent an unexpected answer".into(),
    })
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::NoDaemon { .. } => Self::Absent(message),
            CallError::Denied { .. } => Self::Denied(message),
            CallError::NoSocket { .. }
            | CallError::NoAnswer { .. }
            | CallError::Nonsense { .. } => Self::Other(message),
        }
    }
}
