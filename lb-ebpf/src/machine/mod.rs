//! What compiler, verifier and kernel want: nothing here is about balancing.

pub mod clock;
pub mod constants;
