//! What the daemon and its clients say to each other on the socket `/run/lb/INSTANCE.sock`: one
//! request as JSON on a line, one reply as JSON on a line, as often as the client likes.

mod client;
mod instance;
mod listing;
mod places;
mod reply;
mod request;
mod server;
mod socket;

pub use self::{
    client::{CallError, Observer, call, call_daemon, observe_by},
    instance::Instance,
    listing::{
        Connection, InterfaceStats, ListedServer, ListedService, Listing, Page, ReasonStats, Stats,
        TableStats,
    },
    reply::{ErrorKind, Refused, Reply},
    request::{ConnectionFilter, Numbers, Request},
    server::{Call, Client, ENDING, MAX_CLIENTS, MAX_REQUEST, Peer, serve},
    socket::{BindError, Lock, Repaired, Socket, bind, lock, run_directory, running},
};

#[cfg(test)]
mod tests;
