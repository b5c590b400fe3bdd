//! The director's XDP program.
//!
//! Theory of operation. The daemon (`lb-ctl`) writes services, rosters and servers into maps,
//! with next hops resolved; this program reads them, and keeps the connection table. A packet
//! walks down the ladder in [`walk`]: a packet of a known connection costs one lookup in the
//! connection table and one server entry, and goes out again by the server's forwarding
//! method. Only what opens a connection looks for a service and calls a scheduler. What does
//! not concern us passes untouched.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    missing_docs,
    reason = "the macro `xdp` makes a function without a comment"
)]

mod account;
mod admit;
mod atomic;
mod client;
mod clock;
mod constants;
mod forward;
mod icmp;
mod maps;
mod packet;
mod parse;
mod repeat;
mod reply;
mod service;
mod table;
mod us;
mod verdict;
mod verifier;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use lb_common::{
    connection::{Forward, Key, STATE_REVERSE},
    drops::Drop,
    server::Server,
    tcp,
};

use crate::{
    admit::Admission,
    forward::Way,
    packet::Packet,
    parse::{Incoming, Ipv4Frame, Parsed, parse, parse_unusual},
    table::Entry,
    verdict::Verdict,
};

/// The entry point.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    walk(Packet::of(&context))
}

/// Gives the XDP action.
#[inline(always)]
fn walk(packet: Packet) -> u32 {
    let Some(parsed) = parse::usual(packet) else {
        return match unusual(packet) {
            NEW => unknown(packet, false),
            KNOWN => unknown(packet, true),
            action => action,
        };
    };
    if !concerned_by(&parsed) {
        return Verdict::PASS.action();
    }
    let Some(entry) = table::find(&parsed.key) else {
        return unknown(packet, false);
    };
    let now = clock::now();
    if entry.word.state == STATE_REVERSE {
        core::hint::cold_path();
        return reply::reply(packet, &parsed, &entry, now).action();
    }
    if !us::addressed_by(parsed.interface, parsed.frame()) {
        return Verdict::PASS.action();
    }
    match known(packet, &parsed, &entry, now) {
        Some(verdict) => refuse(packet, verdict),
        None => unknown(packet, true),
    }
}

#[inline(always)]
fn concerned_by(parsed: &Parsed) -> bool {
    us::concerned_by(parsed.key.destination()) || us::concerned_by(parsed.key.source())
}

/// A client's packet of a connection in the table. `None` where it is not as simple as that:
/// the connection may be over, or its server may not be ready.
#[inline(always)]
fn known(packet: Packet, parsed: &Parsed, entry: &Entry, now: u32) -> Option<Verdict> {
    let index = Forward::from_bits(entry.route()).server;
    let server = maps::SERVERS.get(index)?;
    // Each way has a copy of the rest, for to ask once costs packets less than to ask twice.
    let way = Way::of(server);
    if way == Way::DR {
        return carry(packet, parsed, entry, now, server, Way::DR);
    }
    match way.once_more() {
        Way::NAT => carry(packet, parsed, entry, now, server, Way::NAT),
        Way::TUN => carry(packet, parsed, entry, now, server, Way::TUN),
        _ => None,
    }
}

#[inline(always)]
fn carry(
    packet: Packet,
    parsed: &Parsed,
    entry: &Entry,
    now: u32,
    server: &Server,
    way: Way,
) -> Option<Verdict> {
    if forward::obstacle(parsed, server, way).is_some() {
        return None;
    }
    if entry.word.stamp != now {
        if table::expired(&entry.word, now) {
            return None;
        }
        table::stamp(entry, now);
    }
    let index = Forward::from_bits(entry.route()).server;
    if !table::is_settled(entry.word.state, parsed.flags) {
        if parsed.flags & tcp::SYN != 0 && admit::reusable(&entry.word) {
            return None;
        }
        table::step(entry.slot, false, parsed.flags, index);
    }
    account::input(index, parsed.length);
    Some(forward::send(packet, parsed, server, way))
}

/// What [`unusual`] gives for a client's packet: one of a connection in the table, or not.
const KNOWN: u32 = 256;
const NEW: u32 = 257;

/// A packet that [`parse::usual`] cannot read: with IP options, short, or malformed. Gives the
/// XDP action, or one of the above.
#[inline(never)]
fn unusual(packet: Packet) -> u32 {
    let packet = packet.in_subprogram();
    let parsed = match parse_unusual(packet) {
        Incoming::Packet(parsed) => parsed,
        Incoming::Fragment(key) => return fragment(packet, &key).action(),
        Incoming::Other => return Verdict::PASS.action(),
    };
    if !concerned_by(&parsed) {
        return Verdict::PASS.action();
    }
    match table::find(&parsed.key) {
        Some(entry) if entry.word.state == STATE_REVERSE => {
            reply::reply(packet, &parsed, &entry, clock::now()).action()
        }
        Some(_) => KNOWN,
        None => NEW,
    }
}

/// A client's packet whose server is to be found elsewhere, or which cannot go there. Gives the
/// XDP action.
///
/// A subprogram after which nothing is left to do, and which looks at the packet again: what it
/// would be handed, or what had to be kept meanwhile, would burden the way of all other packets,
/// and the verifier would follow it once for each way that leads here.
#[inline(never)]
fn unknown(packet: Packet, is_known: bool) -> u32 {
    let packet = packet.in_subprogram();
    let mut admission = Admission::NONE;
    if is_known {
        admission = admit::again(packet);
    }
    if admission == Admission::NONE {
        admission = admit::admit(packet);
    }
    let verdict = match Admission::read(admission) {
        Ok(index) => admitted(packet, index),
        Err(verdict) => verdict,
    };
    refuse(packet, verdict)
}

#[inline(always)]
fn admitted(packet: Packet, index: u32) -> Verdict {
    let Some(server) = maps::SERVERS.get(index) else {
        return Verdict::drop(Drop::Inconsistent);
    };
    let Incoming::Packet(parsed) = parse(packet) else {
        return Verdict::PASS;
    };
    account::input(index, parsed.length);
    forward::to_server(packet, &parsed, server)
}

/// What is dropped is counted, and the client is told where IPVS tells it. Gives the XDP action.
#[inline(always)]
fn refuse(packet: Packet, verdict: Verdict) -> u32 {
    if verdict.is_drop() && refused(packet, verdict.bits()) {
        return Verdict::TRANSMIT.action();
    }
    verdict.action()
}

/// A subprogram, as [`unknown`] is.
#[inline(never)]
fn refused(packet: Packet, verdict: u32) -> bool {
    let packet = packet.in_subprogram();
    let verdict = Verdict::from_bits(verdict);
    let Incoming::Packet(parsed) = parse(packet) else {
        return false;
    };
    account::dropped(packet, verdict.reason(), parsed.key);
    icmp::answer(packet, parsed.key, verdict.reason(), verdict.size())
}

/// A fragmented packet to a service cannot be balanced: its first fragment is dropped here, and
/// the later ones, which could be anybody's, wait for it in the local stack in vain.
#[inline(always)]
fn fragment(packet: Packet, key: &Key) -> Verdict {
    let ours = us::concerned_by(key.destination())
        && service::find(key).is_some()
        && packet
            .at::<Ipv4Frame>(0)
            .is_some_and(|frame| us::addressed_by(packet.interface(), frame.cast()));
    if !ours {
        return Verdict::PASS;
    }
    account::dropped(packet, Drop::Fragment, *key);
    Verdict::drop(Drop::Fragment)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the program has no panicking path; the verifier would refuse this loop.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
