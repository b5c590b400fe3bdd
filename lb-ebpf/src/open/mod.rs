//! Opening connections: the service, and the server that its scheduler chooses.

mod schedule;
pub mod service;

pub use self::schedule::schedule;
