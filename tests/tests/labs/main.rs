//! End-to-end tests: real clients and real servers in namespaces, and a director between them.
//!
//! One test binary, so that it is linked once. `lab` tests the labs themselves; everything else
//! needs `lb-ctl`.
#![expect(
    clippy::unwrap_used,
    reason = "all of it is tests, also what several of them share"
)]

mod adoption;
mod bad_input;
mod growth;
mod interfaces;
mod ipvsadm;
mod l1_nat_weighted;
mod l2_nat_port_mapping;
mod l3_direct_one_subnet;
mod l4_direct_routed;
mod l5_direct_round_robin;
mod l7_tunnel;
mod l8_two_tiers;
mod lab;
mod ldirectord;
mod live_edits;
mod log;
mod machine;
mod marks;
mod mixed_methods;
mod modes;
mod neighbours;
mod observing;
mod occupied;
mod renamed;
mod restart;
mod selftest;
mod silence;
mod socket;
mod survival;
mod tampering;
mod waiting;
