//! Labs of network namespaces: machines, real servers, a real client, a count of what crossed
//! the wire.
//!
//! A [`topology`] describes a deployment as plain values; [`lab`] makes namespaces of it.
//! Everything that was made goes away when its value is dropped, also when a test panics.
//!
//! A lab needs root, and leaves the machine's own network alone. Nothing here knows the
//! director: every crate's tests may use it.

pub mod capture;
pub mod client;
pub mod content;
pub mod descriptors;
pub mod lab;
pub mod meanwhile;
pub mod namespace;
pub mod offload;
pub mod process;
pub mod topology;
pub mod wait;
pub mod xdp;
