//! The director's XDP program.
//!
//! Theory of operation. The daemon (`lb-ctl`) writes services, rosters and servers into maps,
//! with next hops resolved; this program reads them, and keeps the connection table. A packet
//! walks down the ladder in [`walk`]. If its connection is known, that costs one lookup in the
//! connection table and one server entry; then the packet leaves by the server's forwarding
//! method. Only a packet that opens a connection looks for a service and calls a scheduler.
//! Packets that do not concern the director pass untouched.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    missing_docs,
    reason = "the macro `xdp` makes a function without a comment"
)]

mod account;
mod connection;
mod forward;
mod frame;
mod machine;
mod maps;
mod open;
mod refuse;
mod settings;
mod unsent;
mod verdict;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use lb_common::{
    drops::Drop,
    server::Server,
    state::{self, tcp},
    table::live,
};

use crate::{
    connection::{
        reply,
        table::{self, Connections, Entry},
    },
    forward::Way,
    frame::{Incoming, Packet, Parsed, parse, parse_unusual, usual},
    machine::clock,
    open::admit::{self, Admitted},
    refuse::refuse,
    verdict::Verdict,
};

/// The entry point.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    walk(Packet::of(&context))
}

/// Returns the XDP action.
#[inline(always)]
fn walk(packet: Packet) -> u32 {
    let Some(parsed) = usual(packet) else {
        return match unusual(packet).read() {
            Unusual::Done(action) => action,
            Unusual::FromClient { is_known } => unknown(packet, is_known),
        };
    };
    if !concerned_by(&parsed) {
        return Verdict::PASS.action();
    }
    let Some(entry) = table::find(&parsed.key) else {
        return unknown(packet, false);
    };
    if state::is_reverse(entry.word.state()) {
        core::hint::cold_path();
        return reply::reply(packet, &parsed, &entry, clock::now());
    }
    if !settings::addressed_by_first(parsed.interface, parsed.ethernet) {
        return unknown(packet, true);
    }
    match known(packet, &parsed, &entry, clock::now()) {
        Some(verdict) => refuse(packet, verdict),
        None => unknown(packet, true),
    }
}

#[inline(always)]
fn concerned_by(parsed: &Parsed) -> bool {
    settings::concerned_by(parsed.key.destination()) || settings::concerned_by(parsed.key.source())
}

/// A client's packet of a connection in the table. `None` if the packet needs more than that:
/// the connection may have ended, or its server may not be ready.
#[inline(always)]
fn known(packet: Packet, parsed: &Parsed, entry: &Entry, now: u32) -> Option<Verdict> {
    let server = maps::SERVERS.get(entry.constant.server())?;
    // `carry` is inlined once for each forwarding method, so that a packet compares it once.
    let way = Way::of(server);
    if way == Way::DR {
        return carry(packet, parsed, entry, now, server, Way::DR);
    }
    match way.opaque() {
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
    if entry.word.stamp() != now {
        if live::is_expired(Connections, entry.word, now) {
            return None;
        }
        table::stamp(entry, now);
    }
    if !live::is_settled(entry.word.state(), parsed.flags) {
        if parsed.flags & tcp::SYN != 0 && live::is_reusable(entry.word.state()) {
            return None;
        }
        table::step(entry, false, parsed.flags);
    }
    account::input(entry.constant.server(), parsed.length);
    Some(forward::send(packet, parsed, server, way))
}

/// A packet that [`usual`] cannot read: with IP options, short, or malformed.
#[inline(never)]
fn unusual(packet: Packet) -> Outcome {
    let packet = packet.in_subprogram();
    let parsed = match parse_unusual(packet) {
        Incoming::Packet(parsed) => parsed,
        Incoming::Fragment(key) => return Outcome::done(refuse::fragment(packet, &key)),
        Incoming::Other => return Outcome::done(Verdict::PASS),
    };
    if !concerned_by(&parsed) {
        return Outcome::done(Verdict::PASS);
    }
    match table::find(&parsed.key) {
        Some(entry) if state::is_reverse(entry.word.state()) => {
            Outcome(reply::reply(packet, &parsed, &entry, clock::now()))
        }
        Some(_) => Outcome::KNOWN,
        None => Outcome::NEW,
    }
}

/// An [`Unusual`] in one register: a subprogram can return no more.
#[derive(PartialEq, Eq)]
struct Outcome(u32);

/// What became of an unusual packet.
enum Unusual {
    /// It has its XDP action.
    Done(u32),
    /// It is a client's, of a connection that is in the table or not.
    FromClient { is_known: bool },
}

impl Outcome {
    const KNOWN: Self = Self(1 << 8);
    const NEW: Self = Self(2 << 8);

    /// XDP actions have eight bits.
    #[inline(always)]
    fn done(verdict: Verdict) -> Self {
        Self(verdict.action())
    }

    #[inline(always)]
    fn read(self) -> Unusual {
        if self == Self::NEW || self == Self::KNOWN {
            let is_known = self == Self::KNOWN;
            return Unusual::FromClient { is_known };
        }
        Unusual::Done(self.0)
    }
}

/// A client's packet that has no connection, or whose connection [`known`] cannot use. Returns
/// the XDP action.
///
/// A tail-position BPF subprogram. It parses again rather than take the parsed headers: passing
/// them would spill registers on the hit path, and the verifier would check this code once per
/// caller.
#[inline(never)]
fn unknown(packet: Packet, is_known: bool) -> u32 {
    let packet = packet.in_subprogram();
    let mut admission = Admitted::Anew;
    if is_known {
        admission = admit::again(packet).read();
    }
    if let Admitted::Anew = admission {
        admission = admit::admit(packet).read();
    }
    let verdict = match admission {
        Admitted::To(server) => admitted(packet, server),
        Admitted::No(verdict) => verdict,
        Admitted::Anew => Verdict::PASS,
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

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the program has no panicking path; the verifier would refuse this loop.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
