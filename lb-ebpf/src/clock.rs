//! The time.

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use lb_common::connection::TICK_SHIFT;

/// Now, in ticks of `CLOCK_MONOTONIC_COARSE`.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: a helper without preconditions (Linux 5.11).
    (unsafe { bpf_ktime_get_coarse_ns() } >> TICK_SHIFT) as u32
}
