//! What becomes of a packet.

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_redirect};
use lb_common::drops::Drop;

/// Every packet ends as one of these; [`Verdict::act`] makes it the kernel's.
#[must_use]
pub enum Verdict {
    /// Not ours, or for the local stack: the kernel goes on with it as it is.
    Pass,
    /// Out of the interface that it came in by.
    Transmit,
    /// Out of another interface, by its index.
    Redirect(u32),
    /// Never to be seen again; counted.
    Drop(Drop),
    /// Likewise, for it is larger than this many bytes.
    TooBig(u16),
    /// A subprogram has made it an XDP action already.
    Decided(u32),
}

impl Verdict {
    /// The XDP action. Drops have been counted before.
    #[inline(always)]
    pub fn act(self) -> u32 {
        match self {
            Self::Pass => xdp_action::XDP_PASS,
            Self::Transmit => xdp_action::XDP_TX,
            // SAFETY: a helper without preconditions; without flags it answers XDP_REDIRECT
            // and the driver reports an interface that is gone.
            Self::Redirect(interface) => unsafe { bpf_redirect(interface, 0) as u32 },
            Self::Drop(_) | Self::TooBig(_) => xdp_action::XDP_DROP,
            Self::Decided(action) => action,
        }
    }
}
