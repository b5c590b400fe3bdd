//! Labs of network namespaces, and what it takes to prove something in them: real servers,
//! a real client, a count of what crossed the wire, the director under test.
//!
//! Describe, then realise: [`labs`] describes deployments, [`topology`] is what they are
//! described in, [`lab`] makes namespaces of them. Everything that was made goes away
//! when its value is dropped, also when a test panics.
//!
//! A lab needs root, and leaves the machine's own network alone.

pub mod bench;
pub mod capture;
pub mod client;
pub mod content;
pub mod dataplane;
pub mod descriptors;
pub mod director;
pub mod lab;
pub mod labs;
pub mod load;
pub mod namespace;
pub mod offload;
pub mod packets;
pub mod process;
pub mod tables;
pub mod topology;
pub mod upgrade;
pub mod wait;
pub mod xdp;
