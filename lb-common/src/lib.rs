//! What the two halves of the director share: the types that are stored in maps, and the pure
//! functions that both must compute alike.
//!
//! Nothing here allocates, panics or calls the kernel, so that the same code runs in the XDP
//! program, in the daemon and in unit tests.
//!
//! Byte order: a field named `address` or `port` holds the bytes in the order in which they
//! are on the wire (loaded as a native integer, never swapped). Everything else is native.
#![no_std]

pub mod address_filter;
pub mod checksum;
pub mod drops;
pub mod layout;
mod numbered;
pub mod passes;
#[cfg(feature = "user")]
mod pod;
pub mod protocol;
pub mod schedule;
pub mod server;
pub mod service;
pub mod state;
pub mod table;

#[cfg(test)]
extern crate std;
