//! DR: the packet as it is, to the server's MAC address.

use lb_common::server::Server;

use crate::frame::{Parsed, ipv4, link};

/// Makes it a packet to the server.
#[inline(always)]
pub fn send(parsed: &Parsed, server: &Server) {
    ipv4::decrement_ttl(parsed.ip);
    link::address(parsed.ethernet, &server.ethernet);
}
