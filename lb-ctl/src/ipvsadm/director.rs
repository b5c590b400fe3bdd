//! What ipvsadm asks of a director.

use std::net::SocketAddr;

use crate::{
    api::{self, CallError, ConnectionFilter},
    desired::Protocol,
    instance::Instance,
    ipvs::{
        Change, Connection, Key, Listing, Numbers, Refusal, Reply, Request, Role, Sync, Timeouts,
        Transport,
    },
    spelling::Named,
};

/// Whatever does what ip_vs does.
pub trait Director {
    /// Makes changes, each judged by itself in this order; gives those that were refused, by
    /// their place.
    fn change(&mut self, changes: Vec<Change>) -> Result<Vec<(usize, Refusal)>, Failure>;

    /// One service or all of them.
    fn list(
        &mut self,
        service: Option<Key>,
        numbers: Numbers,
    ) -> Result<Result<Listing, Refusal>, Failure>;

    /// A page of connections, from `cursor` on, and where the next one begins, if there is one.
    fn connections(&mut self, cursor: Option<u32>) -> Result<Page, Failure>;

    /// The timeouts.
    fn timeouts(&mut self) -> Result<Timeouts, Failure>;

    /// What runs to synchronise connections.
    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure>;
}

/// Connections, and where the next page begins; `None` after the last one.
pub type Page = (Vec<Connection>, Option<u32>);

/// It could not be asked.
#[derive(Debug)]
pub enum Failure {
    /// No daemon of ours runs.
    Absent(String),
    /// Not by this user.
    Denied(String),
    /// Something else.
    Other(String),
}

/// The daemon of an instance.
pub struct Live {
    instance: Instance,
}

impl Live {
    /// Of this instance.
    pub fn of(instance: Instance) -> Self {
        Self { instance }
    }

    /// Fails where there is none.
    pub fn greet(&mut self) -> Result<(), Failure> {
        self.timeouts().map(|_| ())
    }

    fn ask(&self, request: Request) -> Result<Reply, Failure> {
        match api::call(&self.instance, &api::Request::Ipvs(request))? {
            api::Reply::Ipvs(reply) => Ok(reply),
            other => Err(unexpected(other)),
        }
    }
}

impl Director for Live {
    fn change(&mut self, changes: Vec<Change>) -> Result<Vec<(usize, Refusal)>, Failure> {
        match self.ask(Request::Change(changes))? {
            Reply::Judged(refused) => Ok(refused),
            _ => Err(out_of_place()),
        }
    }

    fn list(
        &mut self,
        service: Option<Key>,
        numbers: Numbers,
    ) -> Result<Result<Listing, Refusal>, Failure> {
        match self.ask(Request::List { service, numbers })? {
            Reply::Listing(listing) => Ok(Ok(listing)),
            Reply::Refused(refusal) => Ok(Err(refusal)),
            _ => Err(out_of_place()),
        }
    }

    fn connections(&mut self, cursor: Option<u32>) -> Result<Page, Failure> {
        let request = api::Request::Connections {
            filter: ConnectionFilter::default(),
            cursor,
            limit: usize::MAX,
        };
        match api::call(&self.instance, &request)? {
            api::Reply::Connections { rows, next, .. } => {
                Ok((rows.into_iter().map(connection).collect(), next))
            }
            other => Err(unexpected(other)),
        }
    }

    fn timeouts(&mut self) -> Result<Timeouts, Failure> {
        match self.ask(Request::Timeouts)? {
            Reply::Timeouts(timeouts) => Ok(timeouts),
            _ => Err(out_of_place()),
        }
    }

    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure> {
        Ok(Vec::new())
    }
}

fn connection(row: api::Connection) -> Connection {
    Connection {
        transport: match row.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        },
        expires: row.expires,
        state: row.state.name().to_owned(),
        client: SocketAddr::V4(row.client),
        service: SocketAddr::V4(row.service),
        server: SocketAddr::V4(row.server),
        engine: None,
    }
}

fn unexpected(reply: api::Reply) -> Failure {
    match reply {
        api::Reply::Error { message, .. } => Failure::Other(message),
        _ => out_of_place(),
    }
}

fn out_of_place() -> Failure {
    Failure::Other("the daemon answered something else than it was asked".into())
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoDaemon { .. } => Self::Absent(error.to_string()),
            CallError::Denied { .. } => Self::Denied(error.to_string()),
            CallError::NoAnswer { .. } | CallError::Nonsense { .. } => {
                Self::Other(error.to_string())
            }
        }
    }
}
