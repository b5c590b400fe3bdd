//! What it takes to prove something about the director: its program fed with single packets
//! ([`dataplane`]), its daemon in a lab of namespaces ([`director`], [`labs`]), and thousands of
//! clients at once ([`load`]).

pub mod dataplane;
pub mod director;
pub mod footprint;
pub mod labs;
pub mod load;
pub mod packets;
pub mod tables;
pub mod upgrade;
