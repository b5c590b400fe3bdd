//! What a director is told, whichever way it is told: services and servers with their options,
//! the changes that can be made to them, and the rules that they obey.
//!
//! Every front end (YAML, verbs, ipvsadm) translates to these types, once in each direction.
//! Nothing here does any I/O, knows a map of the packet path, or reads a clock.
//!
//! - [`ids`]: what tells services and servers apart
//! - [`options`]: what can be said of them; each option is declared once
//! - [`desired`]: all that an operator wants
//! - [`change`]: one vocabulary of change, and why a change is refused
//! - [`merge`]: what an edited file means for a director that was edited live
//! - [`difference`]: what changes, as lines for people
//! - [`meant`]: what is likely meant by other words
//! - [`rules`], [`addressing`]: what can never be right
//! - [`packet_path`], [`not_yet`]: what the packet path has, and how the rest is refused

pub mod addressing;
pub mod change;
mod declare;
pub mod desired;
pub mod difference;
pub mod fault;
pub mod ids;
pub mod meant;
pub mod merge;
pub mod not_yet;
pub mod options;
pub mod packet_path;
pub mod refusal;
pub mod rules;
pub mod spelling;
pub mod state;
pub mod sync;
pub mod traffic;
pub mod values;

#[cfg(any(test, feature = "strategies"))]
pub mod strategies;

pub use self::{
    change::{Change, ChangeError, End, Undo},
    desired::{Desired, Server, Service, Services},
    fault::Fault,
    ids::{Endpoint, Family, Protocol, ServerId, ServiceId, ServiceRef},
    options::{Options, Patch, ServerOptions, ServiceOptions, Timeouts},
    refusal::Refusal,
    state::State,
    traffic::{Counters, Load},
    values::{
        Checksum, Engine, Mask, Method, Name, Persistence, Scheduler, SchedulerFlags, Seconds,
        Text, Tunnel, Unreachable,
    },
};
