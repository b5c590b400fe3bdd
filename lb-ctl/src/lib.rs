//! The director's control plane, as a library: the binary is a thin front, and the tests
//! drive the same code.

pub mod desired;
