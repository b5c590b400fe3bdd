//! Measures the director's program.
//!
//! `BPF_PROG_TEST_RUN` runs a program many times, but gives it the packet as the last run left it.
//! Packets from a wire do not look like that. So the kernel runs [`feed`] instead: it restores the
//! packet, as one of another flow, and jumps to the program under test by a tail call. The feed's
//! own cost is measured by feeding [`empty`], and subtracted.
//!
//! The other programs are references: what typical parts of an XDP program cost on the same
//! machine.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    missing_docs,
    reason = "the macro `xdp` makes a function without a comment"
)]

mod plan;

use core::arch::asm;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    helpers::generated::{bpf_ktime_get_ns, bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_load_bytes},
    macros::{map, xdp},
    maps::{Array, LruHashMap, PerCpuArray, ProgramArray},
    programs::XdpContext,
};

use crate::plan::{HEADERS, KEPT, LINES as LINES_LEN, Plan, SENT_BY, TURNED_TO};

/// This many flows differ only in the port; the next ones have another address.
const PORTS_BITS: u32 = 15;

#[map(name = "plan")]
static PLAN: Array<Plan> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The program that gets the packets. The map has a single entry, because the kernel compiles a
/// tail call to a known entry into a direct jump.
#[map(name = "target")]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The interfaces that `send` and `redirect` send to.
#[map(name = "leave_by")]
static LEAVE_BY: Array<u32> = Array::with_max_entries(2, 0);

/// Packets that `sink` has swallowed.
#[map(name = "swallowed")]
static SWALLOWED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The beginning of the first of them.
#[map(name = "kept")]
static KEPT_FRAME: Array<[u8; KEPT]> = Array::with_max_entries(1, 0);

/// A lookup like katran's, with a key of 40 bytes. The size is set at load.
#[map(name = "flows40")]
static FLOWS40: LruHashMap<[u32; 10], [u64; 2]> = LruHashMap::with_max_entries(8, 0);

/// A lookup with the smallest key that IPv4 allows. The size is set at load.
#[map(name = "flows16")]
static FLOWS16: LruHashMap<[u32; 4], [u64; 2]> = LruHashMap::with_max_entries(8, 0);

/// As large as the connection table. The size is set at load.
#[map(name = "lines")]
static LINES: Array<[u64; 8]> = Array::with_max_entries(8, 0);

/// Makes the next packet of the plan out of the present one, and jumps to the target.
#[xdp]
pub fn feed(context: XdpContext) -> u32 {
    if next(&context).is_some() {
        // SAFETY: the context is the kernel's own.
        unsafe { TARGET.tail_call(&context, 0) };
    }
    xdp_action::XDP_ABORTED
}

#[inline(always)]
fn next(context: &XdpContext) -> Option<()> {
    let plan = PLAN.get_ptr_mut(0)?;
    // SAFETY: an entry of the map; only one CPU feeds.
    let plan = unsafe { &mut *plan };
    let grown = number(context.data_end() - context.data()) as i32 - plan.length as i32;
    // SAFETY: the context is the kernel's own; the kernel checks the room.
    if grown != 0 && unsafe { bpf_xdp_adjust_head(context.ctx, grown) } != 0 {
        return None;
    }
    clock(plan);
    let flow = plan.next;
    plan.next = if flow + 1 == plan.end {
        plan.first
    } else {
        flow + 1
    };
    let host = flow >> PORTS_BITS;
    let port = flow & ((1 << PORTS_BITS) - 1);
    let frame = context.data();
    if frame + HEADERS > context.data_end() {
        return None;
    }
    // SAFETY: the headers lie in the packet and in the plan; BPF needs no alignment there.
    unsafe { write(frame, plan, host, port) };
    Some(())
}

/// Writes down when the first and the last packet come.
#[inline(always)]
fn clock(plan: &mut Plan) {
    plan.fed += 1;
    if plan.fed == 1 {
        // SAFETY: a helper without preconditions.
        plan.started = unsafe { bpf_ktime_get_ns() };
    }
    if plan.fed == plan.packets {
        // SAFETY: as above.
        plan.ended = unsafe { bpf_ktime_get_ns() };
    }
}

/// Writes the headers field by field, in the sizes in which programs read them. A CPU can forward
/// stored data only to a load that one store covers; other loads wait. A packet from a wire was in
/// memory long before, so no load may wait here.
///
/// # Safety
///
/// There must be [`HEADERS`] bytes at `frame`.
#[inline(always)]
unsafe fn write(frame: usize, plan: &Plan, host: u32, port: u32) {
    const UDP: u8 = 17;
    let plan_at = |offset: usize| plan.headers.as_ptr().wrapping_add(offset);
    // SAFETY: the caller says so, and all offsets lie in the headers.
    unsafe {
        macro_rules! copy {
            ($number:ty, $offset:expr) => {
                *((frame + $offset) as *mut $number) = *plan_at($offset).cast::<$number>()
            };
        }
        macro_rules! read {
            ($number:ty, $offset:expr) => {
                <$number>::from_be(*plan_at($offset).cast::<$number>())
            };
        }
        copy!(u64, 0); // MAC addresses
        copy!(u64, 8); // to version and length
        copy!(u64, 16); // to time to live, protocol
        let mut source = read!(u32, 26);
        let mut destination = read!(u32, 30);
        let mut ports = read!(u32, 34);
        if plan.by_destination == 0 {
            source += host;
            ports += port << 16;
        } else {
            destination += host;
            ports += port;
        }
        *((frame + 24) as *mut u16) = less(read!(u16, 24), host);
        *((frame + 26) as *mut u64) =
            u64::from(source.to_be()) | u64::from(destination.to_be()) << 32;
        *((frame + 34) as *mut u32) = ports.to_be();
        copy!(u64, 38); // TCP: sequence, acknowledgement
        copy!(u64, 46); // TCP: flags, window, checksum
        if read!(u8, 23) == UDP {
            *((frame + 40) as *mut u16) = less(read!(u16, 40), host + port);
        } else {
            *((frame + 50) as *mut u16) = less(read!(u16, 50), host + port);
        }
    }
}

/// A checksum in network byte order, after the data that it covers has grown by this much (RFC
/// 1624).
#[inline(always)]
fn less(checksum: u16, growth: u32) -> u16 {
    let mut sum = u32::from(!checksum) + growth;
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    (!(sum as u16)).to_be()
}

/// A difference of pointers, hidden from the optimiser. It would combine it with other terms, and
/// the verifier would then no longer take it for a number.
#[inline(always)]
fn number(mut difference: usize) -> usize {
    // SAFETY: a move from a register to itself.
    unsafe {
        asm!("{0} = {0}", inout(reg) difference, options(nomem, nostack, preserves_flags));
    }
    difference
}

/// Only transmits. Its cost is that of the feed.
#[xdp]
pub fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Exchanges the MAC addresses.
#[xdp]
pub fn swap(context: XdpContext) -> u32 {
    if swapped(&context) {
        xdp_action::XDP_TX
    } else {
        xdp_action::XDP_ABORTED
    }
}

#[inline(always)]
fn swapped(context: &XdpContext) -> bool {
    let start = context.data();
    if start + HEADERS > context.data_end() {
        return false;
    }
    let frame = start as *mut [[u16; 3]; 2];
    // SAFETY: the addresses lie in the packet.
    unsafe {
        let [destination, source] = *frame;
        *frame = [source, destination];
    }
    true
}

/// Looks the packet's flow up, with a key of 40 bytes.
#[xdp]
pub fn lookup40(context: XdpContext) -> u32 {
    match key(&context) {
        Some([a, b, c, d]) => {
            // SAFETY: nobody removes entries meanwhile.
            let found = unsafe { FLOWS40.get([a, 0, 0, 0, b, 0, 0, 0, c, d]) };
            verdict(found)
        }
        None => xdp_action::XDP_ABORTED,
    }
}

/// Looks the packet's flow up, with a key of 16 bytes.
#[xdp]
pub fn lookup16(context: XdpContext) -> u32 {
    match key(&context) {
        Some(key) => {
            // SAFETY: as in `lookup40`.
            let found = unsafe { FLOWS16.get(key) };
            verdict(found)
        }
        None => xdp_action::XDP_ABORTED,
    }
}

/// Reads one cache line, chosen by a hash of the flow: the cost of any table that is larger than
/// the caches.
#[xdp]
pub fn line(context: XdpContext) -> u32 {
    let Some([a, b, c, _]) = key(&context) else {
        return xdp_action::XDP_ABORTED;
    };
    let mixed = (u64::from(a) << 32 | u64::from(c)).wrapping_add(u64::from(b));
    let mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let chosen = ((mixed >> 32) * u64::from(LINES_LEN)) >> 32;
    match LINES.get(chosen as u32) {
        Some([0, ..]) => xdp_action::XDP_TX,
        _ => xdp_action::XDP_ABORTED,
    }
}

/// Stores the packet's flow for the lookups.
#[xdp]
pub fn remember(context: XdpContext) -> u32 {
    let Some(key) = key(&context) else {
        return xdp_action::XDP_ABORTED;
    };
    let [a, b, c, d] = key;
    let stored = FLOWS16.insert(key, [1, 0], 0).is_ok()
        && FLOWS40
            .insert([a, 0, 0, 0, b, 0, 0, 0, c, d], [1, 0], 0)
            .is_ok();
    if stored {
        xdp_action::XDP_TX
    } else {
        xdp_action::XDP_ABORTED
    }
}

#[inline(always)]
fn verdict(found: Option<&[u64; 2]>) -> u32 {
    match found {
        Some([1, _]) => xdp_action::XDP_TX,
        _ => xdp_action::XDP_ABORTED,
    }
}

/// The flow: source, destination, ports, protocol.
#[inline(always)]
fn key(context: &XdpContext) -> Option<[u32; 4]> {
    let start = context.data();
    if start + HEADERS > context.data_end() {
        return None;
    }
    // SAFETY: all of it lies in the packet.
    unsafe {
        let addresses = *((start + 26) as *const [u32; 2]);
        let ports = *((start + 34) as *const u32);
        let protocol = *((start + 23) as *const u8);
        Some([addresses[0], addresses[1], ports, u32::from(protocol)])
    }
}

/// Sends the packet out of another interface, unchanged.
#[xdp]
pub fn send(_: XdpContext) -> u32 {
    leave_by(SENT_BY)
}

/// Exchanges the MAC addresses and sends the packet out of another interface.
#[xdp]
pub fn redirect(context: XdpContext) -> u32 {
    if swapped(&context) {
        leave_by(TURNED_TO)
    } else {
        xdp_action::XDP_ABORTED
    }
}

#[inline(always)]
fn leave_by(entry: u32) -> u32 {
    match LEAVE_BY.get(entry) {
        // SAFETY: a helper without preconditions.
        Some(&interface) => unsafe { bpf_redirect(interface, 0) as u32 },
        None => xdp_action::XDP_ABORTED,
    }
}

/// Counts a packet and drops it. Keeps the first.
#[xdp]
pub fn sink(context: XdpContext) -> u32 {
    if let Some(count) = SWALLOWED.get_ptr_mut(0) {
        // SAFETY: this CPU's own.
        let count = unsafe { &mut *count };
        if *count == 0 {
            keep(&context);
        }
        *count += 1;
    }
    xdp_action::XDP_DROP
}

#[inline(always)]
fn keep(context: &XdpContext) {
    /// Ethernet, IPv4 and TCP headers: no packet of the feed has less.
    const SHORTEST: u32 = 54;
    let Some(kept) = KEPT_FRAME.get_ptr_mut(0) else {
        return;
    };
    let kept = kept.cast::<u8>();
    // SAFETY: both parts lie in the entry; a packet that is too short for one leaves zeroes
    // there.
    unsafe {
        bpf_xdp_load_bytes(context.ctx, 0, kept.cast(), SHORTEST);
        let rest = kept.add(SHORTEST as usize).cast();
        bpf_xdp_load_bytes(context.ctx, SHORTEST, rest, KEPT as u32 - SHORTEST);
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: no path of the programs panics; the verifier would refuse this loop.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
