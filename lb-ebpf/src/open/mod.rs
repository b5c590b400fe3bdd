//! Opening connections: whether a packet may, the service, and the server that its scheduler
//! chooses.

pub mod admit;
mod opener;
mod schedule;
pub mod service;
