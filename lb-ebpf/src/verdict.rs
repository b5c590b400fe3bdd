//! What happens to a packet.

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_redirect};
use lb_common::drops::Drop;

/// The XDP action, in the lowest byte. If the packet is dropped, the next byte is the reason; if
/// it is too big, the upper half is the size that would have passed.
#[must_use]
#[derive(Clone, Copy)]
pub struct Verdict(u32);

const ACTION: u32 = 0xFF;
const REASON_SHIFT: u32 = 8;
const SIZE_SHIFT: u32 = 16;

impl Verdict {
    /// Not for the director, or for the local stack: the kernel handles it as it is.
    pub const PASS: Self = Self(xdp_action::XDP_PASS);
    /// Out of the interface that received it.
    pub const TRANSMIT: Self = Self(xdp_action::XDP_TX);

    /// Out of another interface, by its index.
    #[inline(always)]
    pub fn redirect(interface: u32) -> Self {
        // SAFETY: a helper without preconditions. Without flags, it always returns XDP_REDIRECT;
        // if the interface is gone, the driver counts that.
        unsafe { bpf_redirect(interface, 0) };
        Self(xdp_action::XDP_REDIRECT)
    }

    /// Dropped for this reason.
    #[inline(always)]
    pub const fn drop(reason: Drop) -> Self {
        Self(xdp_action::XDP_DROP | (reason as u32) << REASON_SHIFT)
    }

    /// Dropped because it is larger than this many bytes.
    #[inline(always)]
    pub const fn too_big(size: u16) -> Self {
        Self(Self::drop(Drop::TooBig).0 | (size as u32) << SIZE_SHIFT)
    }

    /// Whether it is dropped.
    #[inline(always)]
    pub const fn is_drop(self) -> bool {
        self.0 & ACTION == xdp_action::XDP_DROP
    }

    /// Why it is dropped.
    #[inline(always)]
    pub fn reason(self) -> Drop {
        Drop::of_number(self.0 >> REASON_SHIFT & 0xFF).unwrap_or(Drop::Inconsistent)
    }

    /// The size that would have passed; 0 unless it is too big.
    #[inline(always)]
    pub const fn size(self) -> u16 {
        (self.0 >> SIZE_SHIFT) as u16
    }

    /// The XDP action.
    #[inline(always)]
    pub const fn action(self) -> u32 {
        self.0 & ACTION
    }
}
