//! The size of a load: the services, how many clients of each kind, and how often they act.

use std::{net::SocketAddr, time::Duration};

/// A service, over TCP and UDP.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in messages.
    pub name: &'static str,
    /// The address of its TCP echo.
    pub tcp: SocketAddr,
    /// The address of its UDP echo.
    pub udp: SocketAddr,
}

/// The number of clients of each service.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Connections that send something every [`TALK`].
    pub talkers: usize,
    /// Connections that send something every [`TRANSFER`].
    pub transfers: usize,
    /// Clients that open a new connection every [`VISIT`].
    pub visitors: usize,
    /// UDP clients that send a question every [`ASK`].
    pub askers: usize,
}

/// The period of a talker.
pub const TALK: Duration = Duration::from_millis(1000);
/// The period of a transfer.
pub const TRANSFER: Duration = Duration::from_millis(100);
/// The period of a visitor.
pub const VISIT: Duration = Duration::from_millis(80);
/// The period of an asker.
pub const ASK: Duration = Duration::from_millis(100);

/// Bytes that a talker or visitor sends at once: two segments.
pub const SENTENCE: usize = 2000;
