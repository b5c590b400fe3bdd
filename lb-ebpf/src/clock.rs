//! The time.

use core::ptr::write_volatile;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::{
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::xdp,
    programs::XdpContext,
};
use lb_common::connection::TICK_SHIFT;

use crate::maps;

/// Now, in ticks.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: a helper without preconditions (Linux 5.6), which the kernel makes a load.
    (unsafe { bpf_jiffies64() } >> TICK_SHIFT) as u32
}

/// Tells the daemon what time it is. It runs the program once, and knows from then on by a
/// clock that it can read itself. Never attached.
#[xdp]
pub fn clock(_: XdpContext) -> u32 {
    // SAFETY: helpers without preconditions (Linux 5.11); a place in the variable.
    unsafe {
        let clock = &raw mut maps::BALANCER.settings.clock;
        write_volatile(&raw mut (*clock).jiffies, bpf_jiffies64());
        write_volatile(&raw mut (*clock).nanoseconds, bpf_ktime_get_coarse_ns());
    }
    xdp_action::XDP_ABORTED
}
