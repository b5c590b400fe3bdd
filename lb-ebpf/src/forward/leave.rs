//! The interface that a packet leaves by.

use crate::{frame::Parsed, verdict::Verdict};

/// Sends the packet by an interface, given by its index. XDP_TX costs less than a redirect, but
/// only sends by the interface that received the packet.
#[inline(always)]
pub fn leave(parsed: &Parsed, interface: u32) -> Verdict {
    if interface == parsed.interface {
        Verdict::TRANSMIT
    } else {
        Verdict::redirect(interface)
    }
}
