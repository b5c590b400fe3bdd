//! The daemon. Its core decides, and does nothing; everything else here does, and decides nothing.
//!
//! - [`core`]: events in, orders out: what is desired, what is known, what is effective
//! - [`record`]: what is desired, beside the socket

pub mod core;
pub mod record;
