//! What the core is told.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use lb_api::Peer;
use lb_model::{Change, Fault, ServiceId, merge::Written};
use lb_network::Reach;

use crate::record::Recorded;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The daemon has started. This event comes first, and once.
    Started(Box<Start>),
    /// Somebody asks for something that changes what is desired.
    Asked(Ask),
    /// The answer to [`Order::Explore`](super::Order::Explore).
    Explored {
        /// The epoch of the order.
        epoch: u64,
        /// Of those that do not answer now: how the packet path reached them before the start.
        remembered: Vec<(IpAddr, Reach)>,
        /// How each address is reached now.
        found: Vec<(IpAddr, Reach)>,
    },
    /// The answer to [`Order::Update`](super::Order::Update).
    Updated(Vec<(IpAddr, Reach)>),
    /// Interfaces, routes or neighbours have changed.
    NetworkChanged {
        /// True if an answer to an earlier question may be wrong now.
        answers: bool,
    },
    /// These are this machine's addresses now.
    OwnAddresses(BTreeSet<IpAddr>),
    /// A work was carried out; or it failed, and may have been carried out in part.
    Worked {
        /// Its number.
        work: u64,
        /// The error of the step that failed.
        outcome: Result<(), Fault>,
    },
    /// The answer to [`Order::Forget`](super::Order::Forget), or found by the sweep: the packet
    /// path has no servers at these addresses.
    Unused(Vec<IpAddr>),
    /// A second has passed.
    Tick,
}

/// Tells one request from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Where the reply goes.
    pub token: Token,
    /// Who asks.
    pub by: By,
    /// What they ask for.
    pub what: What,
}

/// What somebody asks for.
#[derive(Clone, Debug)]
pub enum What {
    /// Changes, each judged by itself.
    Change {
        /// In this order.
        changes: Vec<Change>,
        /// Whether the reply tells what was done.
        tell: bool,
    },
    /// Everything that a file says (`lb-ctl apply`).
    Apply {
        /// What it says.
        written: Written,
        /// Its name.
        name: String,
        /// True for the daemon's own file.
        own: bool,
        /// Only tell what would be done.
        dry_run: bool,
    },
    /// What the daemon's own file says otherwise than before (SIGHUP).
    Again {
        /// What it says now.
        written: Written,
        /// Its name.
        name: String,
    },
    /// The daemon's own file was written, and says this.
    Saved(Written),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A process at the socket.
    Peer {
        /// Which.
        peer: Peer,
        /// The command that it carries out.
        verb: String,
    },
    /// The daemon's own file, when the daemon starts.
    Start {
        /// Its name.
        file: String,
    },
    /// The daemon's own file, when SIGHUP comes.
    Hangup {
        /// Its name.
        file: String,
    },
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer { peer, verb } if verb.is_empty() => peer.fmt(f),
            Self::Peer { peer, verb } => write!(f, "{peer}: {verb}"),
            Self::Start { file } => write!(f, "the file {file} at start"),
            Self::Hangup { file } => write!(f, "the file {file} at SIGHUP"),
        }
    }
}

/// What a daemon that starts finds.
#[derive(Clone, Debug)]
pub struct Start {
    /// Where the reply goes: [`Done`](lb_api::Reply::Done), or why it cannot go on.
    pub token: Token,
    /// The name of its file.
    pub file: String,
    /// What its file says.
    pub written: Written,
    /// What was recorded; nothing if there is no record.
    pub recorded: Option<Recorded>,
    /// Connections that the packet path's table was made for.
    pub capacity: u32,
    /// The services that the packet path has.
    pub services: Vec<ServiceId>,
}
