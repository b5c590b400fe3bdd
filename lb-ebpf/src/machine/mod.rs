//! What the compiler, the verifier and the kernel want: nothing here is about balancing.

pub mod atomic;
pub mod clock;
pub mod constants;
pub mod fib;
pub mod repeat;
pub mod verifier;
