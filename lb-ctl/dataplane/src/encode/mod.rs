//! The model as map values, and map values as the model.
//!
//! Both directions stand side by side, and no other file of the data plane looks into the model.
//! Map values are made and taken apart field by field: a new field does not compile before it is
//! written here, and read back. Options that no packet reads do not come here at all.
//!
//! - [`mod@number`]: words of the model as numbers; [`mod@wire`]: addresses as on the wire
//! - [`mod@service`], [`mod@server`], [`mod@next_hop`], [`mod@settings`]: what packets find
//! - [`mod@connection`], [`mod@counts`]: what packets leave

mod connection;
mod counts;
mod next_hop;
mod number;
mod server;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod unsupported;
mod wire;

pub use self::{
    connection::{ends, state},
    counts::{counters, load},
    next_hop::{interface, next_hop, set_next_hop, station},
    number::{METHODS, scheduler_number},
    server::{Identity, concerns, entry, identity, roster_entry},
    service::{key, service_id, value, vip},
    settings::timeouts_in_ticks,
    wire::{address, wire},
};
