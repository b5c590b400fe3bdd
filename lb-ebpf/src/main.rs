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
    server::SERVER_AVAILABLE,
    tcp,
};

use crate::{
    admit::Admission,
    packet::Packet,
    parse::{Incoming, Parsed, parse},
    table::Entry,
    us::Us,
    verdict::Verdict,
};

/// The entry point.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    walk(Packet::of(&context)).act()
}

#[inline(always)]
fn walk(packet: Packet) -> Verdict {
    let parsed = match parse(packet) {
        Incoming::Packet(parsed) => parsed,
        Incoming::Fragment(key) => return fragment(packet, &key),
        Incoming::Other => return Verdict::Pass,
    };
    let Some(us) = Us::get() else {
        return Verdict::Pass;
    };
    if !us.concerned_by(parsed.key.destination()) && !us.concerned_by(parsed.key.source()) {
        return Verdict::Pass;
    }
    let now = clock::now();
    let places = constants::hash().places(&parsed.key);
    let verdict = match table::find(&parsed.key, &places) {
        Some(entry) if entry.word.state == STATE_REVERSE => {
            return reply::reply(packet, us, &parsed, &entry, now);
        }
        Some(_) | None if !us.addressed_by(packet) => Verdict::Pass,
        Some(entry) if !is_over(us, &parsed, &entry, now) => known(packet, &parsed, &entry, now),
        found => return Verdict::Decided(unknown(packet, found.is_some())),
    };
    refuse(packet, verdict)
}

/// Whether a connection seems to be over: it has expired, or its client opens it anew.
#[inline(always)]
fn is_over(us: Us, parsed: &Parsed, entry: &Entry, now: u32) -> bool {
    (entry.word.stamp != now && table::expired(us, &entry.word, now))
        || (parsed.flags & tcp::SYN != 0 && admit::reusable(&entry.word))
}

/// A client's packet of a connection in the table.
#[inline(always)]
fn known(packet: Packet, parsed: &Parsed, entry: &Entry, now: u32) -> Verdict {
    let index = Forward::from_bits(entry.route()).server;
    let Some(server) = maps::SERVERS.get(index) else {
        return Verdict::Drop(Drop::Inconsistent);
    };
    if server.flags & SERVER_AVAILABLE == 0 {
        // Like IPVS with `expire_nodest_conn=0`: what is dropped does not keep it alive.
        return Verdict::Drop(Drop::ServerGone);
    }
    if entry.word.stamp != now {
        table::stamp(entry, now);
    }
    if !table::is_settled(entry.word.state, parsed.flags) {
        let direction = table::from_client(&entry.word);
        table::step(entry.slot, direction, parsed.flags, index);
    }
    account::input(index, parsed.length);
    forward::to_server(packet, parsed, server)
}

/// A client's packet whose server is to be found elsewhere. Gives the XDP action.
///
/// A subprogram after which nothing is left to do, and which looks at the packet again: what it
/// would be handed, or what had to be kept meanwhile, would burden the way of all other packets,
/// and the verifier would follow it once for each way that leads here.
#[inline(never)]
fn unknown(packet: Packet, is_over: bool) -> u32 {
    let packet = packet.in_subprogram();
    let mut admission = Admission::NONE;
    if is_over {
        admission = admit::again(packet);
    }
    if admission == Admission::NONE {
        admission = admit::admit(packet);
    }
    let verdict = match (Admission::read(admission), parse(packet)) {
        (Ok(index), Incoming::Packet(parsed)) => match maps::SERVERS.get(index) {
            Some(server) => {
                account::input(index, parsed.length);
                forward::to_server(packet, &parsed, server)
            }
            None => Verdict::Drop(Drop::Inconsistent),
        },
        (Ok(_), _) => Verdict::Pass,
        (Err(verdict), _) => verdict,
    };
    refuse(packet, verdict).act()
}

/// What is dropped is counted, and the client is told where IPVS tells it.
#[inline(always)]
fn refuse(packet: Packet, verdict: Verdict) -> Verdict {
    let (reason, mtu) = match verdict {
        Verdict::Drop(reason) => (reason, 0),
        Verdict::TooBig(mtu) => (Drop::TooBig, mtu),
        verdict => return verdict,
    };
    if refused(packet, reason, mtu) {
        Verdict::Transmit
    } else {
        Verdict::Drop(reason)
    }
}

/// A subprogram, as [`unknown`] is.
#[inline(never)]
fn refused(packet: Packet, reason: Drop, mtu: u16) -> bool {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return false;
    };
    account::dropped(packet, reason, parsed.key);
    icmp::answer(packet, parsed.key, reason, mtu)
}

/// A fragmented packet to a service cannot be balanced: its first fragment is dropped here, and
/// the later ones, which could be anybody's, wait for it in the local stack in vain.
#[inline(always)]
fn fragment(packet: Packet, key: &Key) -> Verdict {
    let ours = Us::get().is_some_and(|us| {
        us.concerned_by(key.destination())
            && service::find(key).is_some()
            && us.addressed_by(packet)
    });
    if !ours {
        return Verdict::Pass;
    }
    account::dropped(packet, Drop::Fragment, *key);
    Verdict::Drop(Drop::Fragment)
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
