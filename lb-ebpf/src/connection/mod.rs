//! Known connections: the table, replies of NAT servers, and sweeping the table for the daemon.

pub mod reply;
mod sweep;
pub mod table;
