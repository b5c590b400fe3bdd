//! The maps that say what packets find: each with a copy of what the daemon wrote there, against
//! which it is audited.

pub mod addresses;
pub mod hops;
pub mod interfaces;
mod members;
pub mod own;
pub mod rosters;
pub mod servers;
pub mod services;
pub mod settings;
pub mod variable;
