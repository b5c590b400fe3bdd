//! Counting. It never decides a packet's fate.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_log_ebpf::warn;
use lb_common::{
    drops::Drop, layout::key::Key, passes::Pass, server::Counters, state::time::age,
    table::steps::Steps,
};

use crate::{
    connection::table::Connections,
    frame::Packet,
    machine::{clock, constants},
    maps, settings,
};

/// The counters of a server on this CPU.
#[inline(always)]
fn counters(server: u32) -> Option<*mut Counters> {
    // SAFETY: a helper without preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    maps::COUNTERS.get_ptr_mut(cpu * constants::servers() + server)
}

/// A packet from a client, of this many bytes.
#[inline(always)]
pub fn input(server: u32, bytes: u16) {
    if let Some(counters) = counters(server) {
        // SAFETY: only this CPU writes this entry, and XDP programs on one CPU do not
        // interrupt one another; the daemon only reads.
        unsafe {
            (*counters).in_packets += 1;
            (*counters).in_bytes += u64::from(bytes);
        }
    }
}

/// A packet to a client, of this many bytes.
#[inline(always)]
pub fn output(server: u32, bytes: u16) {
    if let Some(counters) = counters(server) {
        // SAFETY: as in `input`.
        unsafe {
            (*counters).out_packets += 1;
            (*counters).out_bytes += u64::from(bytes);
        }
    }
}

/// A connection was opened.
#[inline(always)]
pub fn opened(server: u32) {
    if let Some(counters) = counters(server) {
        // SAFETY: as in `input`.
        unsafe { (*counters).connections += 1 }
    }
}

/// Counts a packet to a service that is left to the kernel's network stack.
#[inline(always)]
pub fn passed(reason: Pass) {
    if let Some(count) = maps::PASSES.get_ptr_mut(reason as u32) {
        // SAFETY: as in `input`.
        unsafe { *count += 1 }
    }
}

/// Counts a dropped packet. Reasons that an operator has to know are logged as well, at most once
/// a second for each reason.
#[inline(never)]
pub fn dropped(packet: Packet, reason: Drop, key: Key) {
    if let Some(count) = maps::DROPS.get_ptr_mut(reason as u32) {
        // SAFETY: as in `input`.
        unsafe { *count += 1 }
    }
    let Some(logged) = maps::LOGGED.get_ptr_mut(reason as u32) else {
        return;
    };
    let now = clock::now();
    // SAFETY: an aligned word; a race between CPUs costs one more line in the log.
    unsafe {
        if *logged != 0 && age(now, *logged) < settings::second() {
            return;
        }
        *logged = now;
    }
    let context = aya_ebpf::programs::XdpContext::new(packet.context());
    let client = core::net::Ipv4Addr::from_bits(u32::from_be(key.source()));
    let service = core::net::Ipv4Addr::from_bits(u32::from_be(key.destination()));
    let port = u16::from_be(key.destination_port());
    match reason {
        Drop::NoServer => warn!(
            &context,
            "no destination available: client {:i}, service {:i}:{}", client, service, port
        ),
        Drop::TableFull => warn!(
            &context,
            "connection table full: client {:i}, service {:i}:{}", client, service, port
        ),
        Drop::NextHopUnknown => warn!(
            &context,
            "next hop unknown: server {:i}, service {:i}:{}",
            core::net::Ipv4Addr::from_bits(u32::from_be(server_of(key))),
            service,
            port
        ),
        Drop::Inconsistent | Drop::UnknownScheduler => warn!(
            &context,
            "inconsistent maps: client {:i}, service {:i}:{}", client, service, port
        ),
        Drop::ServerGone
        | Drop::TtlExpired
        | Drop::TooBig
        | Drop::Fragment
        | Drop::NoRoute
        | Drop::NoHeadroom
        | Drop::Merged
        | Drop::NotSent
        | Drop::SameReplies => {}
    }
}

/// The address (as on the wire) of the server of a client's connection; 0 if there is none.
#[inline(never)]
fn server_of(key: Key) -> u32 {
    let entry = Connections.find(&key);
    let server = entry.and_then(|entry| maps::SERVERS.get(entry.constant.server()));
    server.map_or(0, |server| server.address)
}
