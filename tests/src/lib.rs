//! The tools to test the director: single packets through its program ([`dataplane`]), its daemon
//! in a lab of namespaces ([`director`], [`labs`]), and thousands of clients at once ([`load`]).

pub mod dataplane;
pub mod director;
pub mod footprint;
pub mod labs;
pub mod load;
pub mod packets;
pub mod tables;
pub mod upgrade;
