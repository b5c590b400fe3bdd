//! How much load there is: on which services, how many clients of each kind, how often.

use std::{net::SocketAddr, time::Duration};

/// A service, over both protocols.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is called when something goes wrong.
    pub name: &'static str,
    /// Where a TCP echo answers.
    pub tcp: SocketAddr,
    /// Where a UDP echo answers.
    pub udp: SocketAddr,
}

/// How many clients each service has.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Connections that say something every [`TALK`].
    pub talkers: usize,
    /// Connections that never pause for longer than [`TRANSFER`].
    pub transfers: usize,
    /// Clients that open a new connection every [`VISIT`].
    pub visitors: usize,
    /// UDP clients that ask every [`ASK`].
    pub askers: usize,
}

/// How often a talker says something.
pub const TALK: Duration = Duration::from_millis(1000);
/// How often a transfer goes on.
pub const TRANSFER: Duration = Duration::from_millis(100);
/// How often a visitor comes.
pub const VISIT: Duration = Duration::from_millis(80);
/// How often an asker asks.
pub const ASK: Duration = Duration::from_millis(100);

/// Bytes that a talker or visitor sends at a time: two segments.
pub const SENTENCE: usize = 2000;
