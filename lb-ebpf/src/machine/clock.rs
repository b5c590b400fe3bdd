//! Time, in ticks of the kernel's jiffies.

use core::ptr::write_volatile;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::{
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::xdp,
    programs::XdpContext,
};
use lb_common::state::time::TICK_SHIFT;

use crate::maps;

/// Now, in ticks.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: a helper without preconditions (Linux 5.6). The kernel replaces the call by a load.
    (unsafe { bpf_jiffies64() } >> TICK_SHIFT) as u32
}

/// Writes one moment by both clocks: jiffies, which user space cannot read, and one that it
/// can read. The daemon runs this program once; it is never attached.
#[xdp]
pub fn clock(_: XdpContext) -> u32 {
    // SAFETY: helpers without preconditions (Linux 5.11); a field of the variable.
    unsafe {
        let clock = &raw mut maps::BALANCER.settings.clock;
        write_volatile(&raw mut (*clock).jiffies, bpf_jiffies64());
        write_volatile(&raw mut (*clock).nanoseconds, bpf_ktime_get_coarse_ns());
    }
    xdp_action::XDP_ABORTED
}
