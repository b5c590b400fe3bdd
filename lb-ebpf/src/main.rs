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
mod service;
mod table;
mod verdict;
mod verifier;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use lb_common::{
    address_filter,
    connection::{
        Direction, FLAG_NAT, Forward, Key, NO_SLOT, Places, Reverse, STATE_REVERSE, STATE_UDP, TCP,
        Word, is_connection,
    },
    drops::Drop,
    layout::Port,
    server::{Load, Method, SERVER_AVAILABLE, SERVER_LOCAL, Server},
    tcp::{self, TcpState},
};

use crate::{
    packet::Packet,
    parse::{Incoming, Parsed, parse},
    table::Entry,
    verdict::Verdict,
};

/// The entry point.
#[xdp]
pub fn director(context: XdpContext) -> u32 {
    let packet = Packet::of(&context);
    walk(&packet).act()
}

#[inline(always)]
fn walk(packet: &Packet) -> Verdict {
    let parsed = match parse(packet) {
        Incoming::Packet(parsed) => parsed,
        Incoming::Fragment(key) => return fragment(packet, &key),
        Incoming::Other => return Verdict::Pass,
    };
    if !concerns_us(parsed.key.destination()) && !concerns_us(parsed.key.source()) {
        return Verdict::Pass;
    }
    let places = constants::hash().places(&parsed.key);
    let server = match table::find(&parsed.key, &places) {
        Some(entry) if entry.word.state == STATE_REVERSE => return reply(packet, &parsed, &entry),
        Some(entry) => known(packet, &parsed, &places, &entry),
        None => Admission::of(packet, &parsed, &places),
    };
    let verdict = match server {
        Ok(server) => send(packet, &parsed, server),
        Err(verdict) => verdict,
    };
    match verdict {
        Verdict::Drop(reason) => refuse(packet, &parsed.key, reason, 0),
        Verdict::TooBig(mtu) => refuse(packet, &parsed.key, Drop::TooBig, mtu),
        verdict => verdict,
    }
}

/// Drops a client's packet, and tells the client where IPVS does.
#[inline(always)]
fn refuse(packet: &Packet, key: &Key, reason: Drop, mtu: u16) -> Verdict {
    account::dropped(packet, reason, key);
    if icmp::answer(packet, key, reason, mtu) {
        Verdict::Transmit
    } else {
        Verdict::Drop(reason)
    }
}

/// A client's packet of a connection in the table: its server.
#[inline(always)]
fn known(packet: &Packet, parsed: &Parsed, places: &Places, entry: &Entry) -> Result<u32, Verdict> {
    if !addressed_to_us(packet) {
        return Err(Verdict::Pass);
    }
    let now = clock::now();
    let tcp = parsed.key.protocol() == TCP;
    let over = (entry.word.stamp != now && table::expired(&entry.word, now))
        || (tcp && parsed.flags & tcp::SYN != 0 && reusable(&entry.word));
    if over {
        // As if there were no connection (IPVS with `conn_reuse_mode=1`).
        if table::end(entry) {
            table::release(entry.index);
        }
        return Admission::of(packet, parsed, places);
    }
    let server = Forward::from_bits(entry.route()).server;
    match available(server) {
        Some(true) => {}
        // Like IPVS with `expire_nodest_conn=0`: what is dropped does not keep it alive.
        Some(false) => return Err(Verdict::Drop(Drop::ServerGone)),
        None => return Err(Verdict::Drop(Drop::Inconsistent)),
    }
    if entry.word.stamp != now {
        table::stamp(entry, now);
    }
    if tcp {
        let direction = if entry.word.flags & FLAG_NAT != 0 {
            Direction::Input
        } else {
            Direction::InputOnly
        };
        step(entry, direction, parsed.flags, server);
    }
    Ok(server)
}

/// A server's packet to the client of a NAT connection.
#[inline(always)]
fn reply(packet: &Packet, parsed: &Parsed, entry: &Entry) -> Verdict {
    let verdict = answer(packet, parsed, entry);
    if let Verdict::Drop(reason) = verdict {
        account::dropped(packet, reason, &parsed.key);
    }
    verdict
}

#[inline(always)]
fn answer(packet: &Packet, parsed: &Parsed, entry: &Entry) -> Verdict {
    if !addressed_to_us(packet) {
        return Verdict::Pass;
    }
    let Some(connection) = table::at(entry.word.stamp) else {
        return Verdict::Drop(Drop::Inconsistent);
    };
    // SAFETY: an entry of the table; aligned words.
    let key = unsafe { (*connection.slot).key };
    let same_client = key.source() == parsed.key.destination()
        && key.source_port() == parsed.key.destination_port()
        && key.protocol() == parsed.key.protocol();
    if !same_client || !is_connection(connection.word.state) {
        return Verdict::Pass;
    }
    let now = clock::now();
    if connection.word.stamp != now {
        if table::expired(&connection.word, now) {
            return Verdict::Pass;
        }
        table::stamp(&connection, now);
    }
    let server = Forward::from_bits(connection.route()).server;
    if parsed.key.protocol() == TCP {
        step(&connection, Direction::Output, parsed.flags, server);
    }
    let route = way_back(packet, entry, &key);
    let Some(port) = maps::PORTS.get(u32::from(route.port)) else {
        return Verdict::Drop(Drop::Inconsistent);
    };
    if port.interface == 0 {
        return Verdict::Drop(Drop::NoRoute);
    }
    if available(server) == Some(true) {
        account::output(server, parsed.length);
    }
    forward::to_client(packet, parsed, &key, route, port)
}

/// The server of a packet without a connection, which may open one. Returns what
/// [`Admission`] can read back: a subprogram gives a single number.
#[inline(never)]
fn admit(packet: &Packet, parsed: &Parsed, places: &Places) -> u64 {
    let Some(service) = service::find(&parsed.key) else {
        return Admission::PASS;
    };
    if !addressed_to_us(packet) || !opens(parsed) {
        return Admission::PASS;
    }
    let index = service::schedule(&service);
    let Some(server) = maps::SERVERS.get(index) else {
        return Admission::drop(Drop::NoServer);
    };
    match open(packet, parsed, places, index, server) {
        Ok(()) => Admission::server(index),
        Err(reason) => Admission::drop(reason),
    }
}

/// How a number says which server, or which verdict instead.
struct Admission;

impl Admission {
    const PASS: u64 = u64::MAX;
    const DROP: u64 = 1 << 32;

    #[inline(always)]
    fn of(packet: &Packet, parsed: &Parsed, places: &Places) -> Result<u32, Verdict> {
        match admit(packet, parsed, places) {
            Self::PASS => Err(Verdict::Pass),
            other if other & Self::DROP != 0 => {
                let number = other as u32;
                Err(Verdict::Drop(
                    Drop::ALL
                        .into_iter()
                        .find(|&reason| reason as u32 == number)
                        .unwrap_or(Drop::Inconsistent),
                ))
            }
            server => Ok(server as u32),
        }
    }

    #[inline(always)]
    fn server(index: u32) -> u64 {
        u64::from(index)
    }

    #[inline(always)]
    fn drop(reason: Drop) -> u64 {
        Self::DROP | reason as u64
    }
}

/// Stores a new connection to this server.
#[inline(always)]
fn open(
    packet: &Packet,
    parsed: &Parsed,
    places: &Places,
    index: u32,
    server: &Server,
) -> Result<(), Drop> {
    let now = clock::now();
    let slot = table::claim(places, now);
    if slot == NO_SLOT {
        return Err(Drop::TableFull);
    }
    let nat = server.method == Method::Nat as u8 && server.flags & SERVER_LOCAL == 0;
    let reverse = if nat {
        let key = Key::new(
            server.address,
            parsed.key.source(),
            u32::from(server.port) | u32::from(parsed.key.source_port()) << 16,
            parsed.key.protocol(),
        );
        let mut route = came_from(packet);
        client::route(packet, &parsed.key, &mut route);
        let reverse = table::publish_reverse(&key, route.bits(), slot, route_epoch(), now);
        if reverse == NO_SLOT {
            table::release(slot);
            return Err(Drop::TableFull);
        }
        reverse
    } else {
        NO_SLOT
    };
    let state = if parsed.key.protocol() == TCP {
        TcpState::SynRecv as u8
    } else {
        STATE_UDP
    };
    table::load(index, Load::one(lb_common::connection::is_active(state)));
    table::publish(
        slot,
        &parsed.key,
        Forward {
            server: index,
            reverse,
        }
        .bits(),
        Word {
            stamp: now,
            state,
            flags: if nat { FLAG_NAT } else { 0 },
            epoch: 0,
        },
    );
    account::opened(index);
    Ok(())
}

/// Counts a client's packet and sends it to its server.
#[inline(always)]
fn send(packet: &Packet, parsed: &Parsed, index: u32) -> Verdict {
    let Some(server) = maps::SERVERS.get(index) else {
        return Verdict::Drop(Drop::Inconsistent);
    };
    account::input(index, parsed.length);
    forward::to_server(packet, parsed, server)
}

/// Whether a server belongs to its service still; `None` where there is no such server.
#[inline(always)]
fn available(server: u32) -> Option<bool> {
    let server = maps::SERVERS.get(server)?;
    Some(server.flags & SERVER_AVAILABLE != 0)
}

/// What may open a connection: in TCP, a SYN without RST (it is never a data connection of
/// FTP, which comes from port 20); in UDP, everything.
#[inline(always)]
fn opens(parsed: &Parsed) -> bool {
    const FTP_DATA: u16 = 20u16.to_be();
    parsed.key.protocol() != TCP
        || (parsed.flags & (tcp::SYN | tcp::RST) == tcp::SYN
            && parsed.key.source_port() != FTP_DATA)
}

/// States in which a SYN opens the connection anew.
#[inline(always)]
fn reusable(word: &Word) -> bool {
    word.state == TcpState::TimeWait as u8 || word.state == TcpState::Close as u8
}

/// Steps a TCP connection. Most packets do not move it, and leave here.
#[inline(always)]
fn step(entry: &Entry, direction: Direction, flags: u8, server: u32) {
    const EVENTS: u8 = tcp::SYN | tcp::FIN | tcp::RST | tcp::ACK;
    if entry.word.state == TcpState::Established as u8 && flags & EVENTS == tcp::ACK {
        return;
    }
    table::step(entry.slot, direction, flags, server);
}

/// The way to the client: as the entry remembers it, or asked for anew if routes or
/// neighbours have changed since.
#[inline(always)]
fn way_back(packet: &Packet, entry: &Entry, forward: &Key) -> Reverse {
    let mut route = Reverse::from_bits(entry.route());
    let epoch = route_epoch();
    if entry.word.epoch != epoch {
        client::route(packet, forward, &mut route);
        table::update_reverse(entry, route.bits(), epoch);
    }
    route
}

#[inline(always)]
fn route_epoch() -> u16 {
    match maps::SETTINGS.get(0) {
        Some(settings) => settings.route_epoch as u16,
        None => 0,
    }
}

/// Back to where a packet came from: the way to a client that the kernel knows no way to.
#[inline(always)]
fn came_from(packet: &Packet) -> Reverse {
    let next_hop = match packet.at::<[[u8; 6]; 2]>(0) {
        // SAFETY: `at` gives a pointer to the whole.
        Some(addresses) => unsafe { (*addresses)[1] },
        None => [0; 6],
    };
    Reverse {
        next_hop,
        port: packet.interface() as u16,
    }
}

/// False for frames to other stations, which a bridge or a promiscuous interface shows us.
#[inline(always)]
fn addressed_to_us(packet: &Packet) -> bool {
    let interface = packet.interface();
    let Some(Port {
        interface: known,
        mac,
        ..
    }) = maps::PORTS.get(interface & 0xFFFF)
    else {
        return false;
    };
    let Some(destination) = packet.at::<[u8; 6]>(0) else {
        return false;
    };
    // SAFETY: `at` gives a pointer to the whole.
    unsafe { *known == interface && *destination == *mac }
}

#[inline(always)]
fn concerns_us(address: u32) -> bool {
    let (word, bit) = address_filter::place(address);
    match maps::ADDRESSES.get(word) {
        Some(bits) => bits & bit != 0,
        None => false,
    }
}

/// A fragmented packet to a service cannot be balanced: its first fragment is dropped here, and
/// the later ones, which could be anybody's, wait for it in the local stack in vain.
#[inline(always)]
fn fragment(packet: &Packet, key: &Key) -> Verdict {
    if !concerns_us(key.destination()) || service::find(key).is_none() || !addressed_to_us(packet) {
        return Verdict::Pass;
    }
    account::dropped(packet, Drop::Fragment, key);
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
