//! Packets that were lost after this program had sent them: the interface is down, the driver's
//! queue is full, or the other end of a veth pair takes no frames. The kernel tells of
//! them by tracepoints: see `include/trace/events/xdp.h`, which has the same arguments from Linux
//! 5.17 to 6.18. The daemon attaches these programs, and they count while it runs.

use core::ptr::read_volatile;

use aya_ebpf::{
    EbpfContext as _, bindings::xdp_action, helpers::bpf_probe_read_kernel, macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use lb_common::{drops::Drop, layout::Offsets};

use crate::{machine::atomic, maps};

/// Read as volatile: the daemon writes it before the kernel reads it.
#[unsafe(no_mangle)]
static KERNEL: Offsets = Offsets::NONE;

/// `bpf_redirect` named an interface that packets cannot leave by.
#[raw_tracepoint(tracepoint = "xdp_redirect_err")]
pub fn redirect_failed(context: RawTracePointContext) -> u32 {
    const PROGRAM: usize = 1;
    const INTERFACE: usize = 6;
    if is_own_program(argument(&context, PROGRAM)) {
        count(argument(&context, INTERFACE) as u32, 1);
    }
    0
}

/// A driver could not send a packet, or the stack could not in generic mode.
#[raw_tracepoint(tracepoint = "xdp_exception")]
pub fn action_failed(context: RawTracePointContext) -> u32 {
    const DEVICE: usize = 0;
    const PROGRAM: usize = 1;
    const ACTION: usize = 2;
    let action = argument(&context, ACTION) as u32;
    let sends = action == xdp_action::XDP_TX || action == xdp_action::XDP_REDIRECT;
    if sends && is_own_program(argument(&context, PROGRAM)) {
        count(index_of(argument(&context, DEVICE)), 1);
    }
    0
}

/// A driver has taken packets from other interfaces, or not all of them.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
pub fn redirected(context: RawTracePointContext) -> u32 {
    const FROM: usize = 0;
    const TO: usize = 1;
    const LOST: usize = 3;
    let lost = argument(&context, LOST) as u32;
    if lost != 0 && is_watched(argument(&context, FROM)) {
        count(index_of(argument(&context, TO)), lost);
    }
    0
}

/// A driver has sent packets out by the interface that they came in by, or not all of them.
#[raw_tracepoint(tracepoint = "xdp_bulk_tx")]
pub fn transmitted(context: RawTracePointContext) -> u32 {
    const DEVICE: usize = 0;
    const LOST: usize = 2;
    let lost = argument(&context, LOST) as u32;
    let device = argument(&context, DEVICE);
    if lost != 0 && is_watched(device) {
        count(index_of(device), lost);
    }
    0
}

/// Counts packets that were to leave by this interface.
#[inline(always)]
fn count(interface: u32, packets: u32) {
    if let Some(count) = maps::DROPS.get_ptr_mut(Drop::NotSent as u32) {
        // SAFETY: a word of the map.
        unsafe { atomic::add(count, u64::from(packets)) }
    }
    if let Some(count) = maps::UNSENT.get_ptr_mut(interface) {
        // SAFETY: a word of the map.
        unsafe { atomic::add(count, u64::from(packets)) }
    } else {
        // Where that fails, another CPU does the same at this moment, or there are too many
        // interfaces: the total is right all the same.
        let _ = maps::UNSENT.insert(interface, u64::from(packets), 0);
    }
}

/// True for the program that handles the director's packets.
#[inline(always)]
fn is_own_program(program: u64) -> bool {
    let aux: u64 = read(program, offset(&raw const KERNEL.program_aux));
    let id: u32 = read(aux, offset(&raw const KERNEL.aux_id));
    maps::OWN_PROGRAMS.get_ptr(id).is_some()
}

/// True for an interface whose packets the director handles. Other network namespaces have
/// interfaces with the same index.
#[inline(always)]
fn is_watched(device: u64) -> bool {
    if maps::WATCHED.get_ptr(index_of(device)).is_none() {
        return false;
    }
    let net: u64 = read(device, offset(&raw const KERNEL.device_net));
    let cookie: u64 = read(net, offset(&raw const KERNEL.net_cookie));
    cookie as u32 == offset(&raw const KERNEL.namespace)
}

#[inline(always)]
fn index_of(device: u64) -> u32 {
    read(device, offset(&raw const KERNEL.device_index))
}

/// A field of a structure of the kernel; zero where it cannot be read.
#[inline(always)]
fn read<T: Copy + Default>(structure: u64, offset: u32) -> T {
    let field = (structure + u64::from(offset)) as *const T;
    // SAFETY: the kernel checks the address.
    unsafe { bpf_probe_read_kernel(field) }.unwrap_or_default()
}

/// A number that the daemon has written into [`KERNEL`].
#[inline(always)]
fn offset(field: *const u32) -> u32 {
    // SAFETY: a field of a static that nobody writes while the program runs.
    unsafe { read_volatile(field) }
}

/// An argument of a tracepoint. (`RawTracePointContext::arg` compares the number with the length of
/// a slice of unknown length.)
#[inline(always)]
fn argument(context: &RawTracePointContext, number: usize) -> u64 {
    // SAFETY: the kernel gives as many words as the tracepoint has arguments, and its verifier
    // checks that.
    unsafe { *context.as_ptr().cast::<u64>().add(number) }
}
