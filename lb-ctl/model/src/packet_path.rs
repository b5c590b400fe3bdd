//! What the packet path has, in the words of options: the one place that says so. What it learns
//! is added to these lists, or removed from those of options that it does not act on.
//!
//! [`not_yet`](crate::not_yet) refuses the rest.

/// Schedulers that it has.
pub const SCHEDULERS: &[&str] = &["rr", "wrr", "lc", "wlc"];

/// Forwarding methods that it has.
pub const METHODS: &[&str] = &["dr", "nat", "tun"];

/// Protocols that it balances.
pub const PROTOCOLS: &[&str] = &["tcp", "udp"];

/// Options of services that it does not act on.
pub const UNUSED_SERVICE_OPTIONS: &[&str] = &[
    "scheduler_flags",
    "persistence",
    "persistence_engine",
    "one_packet",
];

/// Options of servers that it does not act on.
pub const UNUSED_SERVER_OPTIONS: &[&str] = &["upper", "lower", "tunnel"];
