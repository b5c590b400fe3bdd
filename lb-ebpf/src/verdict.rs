//! What becomes of a packet.

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_redirect};
use lb_common::drops::Drop;

/// Every packet ends as one of these: the XDP action in the lowest byte; of a packet that is
/// dropped, the reason in the next, and in the upper half the size that would have passed.
#[must_use]
#[derive(Clone, Copy)]
pub struct Verdict(u32);

const ACTION: u32 = 0xFF;
const REASON_SHIFT: u32 = 8;
const SIZE_SHIFT: u32 = 16;

impl Verdict {
    /// Not ours, or for the local stack: the kernel goes on with it as it is.
    pub const PASS: Self = Self(xdp_action::XDP_PASS);
    /// Out of the interface that it came in by.
    pub const TRANSMIT: Self = Self(xdp_action::XDP_TX);

    /// Out of another interface, by its index.
    #[inline(always)]
    pub fn redirect(interface: u32) -> Self {
        // SAFETY: a helper without preconditions; without flags its answer is always the same,
        // and the driver reports an interface that is gone.
        unsafe { bpf_redirect(interface, 0) };
        Self(xdp_action::XDP_REDIRECT)
    }

    /// Never to be seen again.
    #[inline(always)]
    pub const fn drop(reason: Drop) -> Self {
        Self(xdp_action::XDP_DROP | (reason as u32) << REASON_SHIFT)
    }

    /// Likewise, for it is larger than this many bytes.
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

    /// As a number, for subprograms, which can give nothing else.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// From such a number.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The XDP action.
    #[inline(always)]
    pub const fn action(self) -> u32 {
        self.0 & ACTION
    }
}
