//! A server's packets to the client of a NAT connection.
//!
//! Most have no news for the connection: it is established, and stays so. They need the
//! reverse entry only, which remembers that they came; the others are for the forward entry.

use lb_common::{
    connection::{Direction, FLAG_SETTLED, Key, Reverse, STATE_UDP, TCP, is_connection},
    drops::Drop,
    server::{SERVER_AVAILABLE, Server},
    tcp::TcpState,
};

use crate::{
    account, client, clock, constants, forward, maps,
    packet::Packet,
    parse::{Incoming, Parsed, parse},
    table::{self, Entry},
    us::Us,
    verdict::Verdict,
};

/// Sends it on to the client, from the service's address.
#[inline(always)]
pub fn reply(packet: Packet, us: Us, parsed: &Parsed, entry: &Entry, now: u32) -> Verdict {
    let verdict = answer(packet, us, parsed, entry, now);
    if let Verdict::Drop(reason) = verdict {
        account::dropped(packet, reason, parsed.key);
    }
    verdict
}

#[inline(always)]
fn answer(packet: Packet, us: Us, parsed: &Parsed, entry: &Entry, now: u32) -> Verdict {
    if !us.addressed_by(packet) {
        return Verdict::Pass;
    }
    let index = entry.key().server();
    let Some(server) = maps::SERVERS.get(index) else {
        return Verdict::Drop(Drop::Inconsistent);
    };
    let established = TcpState::Established as u8;
    let news =
        entry.word.flags & FLAG_SETTLED == 0 || !table::is_settled(established, parsed.flags);
    let stale = entry.word.stamp != now;
    let state = if parsed.key.protocol() == TCP {
        established
    } else {
        STATE_UDP
    };
    let expired = stale && table::expired(us, &entry.word.with_state(state), now);
    if (news || expired) && !tell(packet) {
        return Verdict::Pass;
    }
    if stale {
        table::stamp(entry, now);
    }
    let route = way_back(packet, us, entry);
    let port = us.port(u32::from(route.port));
    // SAFETY: a place in the map.
    let port = unsafe { &*port };
    if port.interface == 0 {
        return Verdict::Drop(Drop::NoRoute);
    }
    if server.flags & SERVER_AVAILABLE != 0 {
        account::output(index, parsed.length);
    }
    forward::to_client(packet, parsed, server, route, port)
}

/// Tells the forward entry of a reply. False where there is no connection any more. A
/// subprogram that looks at the packet again, as those of [`admit`](crate::admit) do.
#[inline(never)]
fn tell(packet: Packet) -> bool {
    let packet = packet.in_subprogram();
    let (Incoming::Packet(parsed), Some(us)) = (parse(packet), Us::get()) else {
        return false;
    };
    let hash = constants::hash();
    let Some(reverse) = table::find(&parsed.key, &hash.places(&parsed.key)) else {
        return false;
    };
    let index = reverse.key().server();
    let Some(server) = maps::SERVERS.get(index) else {
        return false;
    };
    let key = from_client(&parsed.key, server);
    let Some(forward) = table::find(&key, &hash.places(&key)) else {
        return false;
    };
    let now = clock::now();
    if !is_connection(forward.word.state) || !table::alive(us, &forward, now) {
        return false;
    }
    if forward.word.stamp != now {
        table::stamp(&forward, now);
    }
    if parsed.key.protocol() == TCP {
        if table::is_settled(forward.word.state, parsed.flags) {
            table::settle(&reverse, &forward);
        } else {
            table::step(forward.slot, Direction::Output, parsed.flags, index);
        }
    }
    true
}

/// The key of the connection that a server's packet answers.
#[inline(always)]
fn from_client(reply: &Key, server: &Server) -> Key {
    Key::new(
        reply.destination(),
        server.service_address,
        u32::from(reply.destination_port()) | u32::from(server.service_port) << 16,
        reply.protocol(),
    )
}

/// The way to the client: as the entry remembers it, or asked for anew if routes or
/// neighbours have changed since.
#[inline(always)]
fn way_back(packet: Packet, us: Us, entry: &Entry) -> Reverse {
    if entry.word.epoch == us.route_epoch() {
        return Reverse::from_bits(entry.route());
    }
    Reverse::from_bits(way_anew(packet))
}

#[inline(never)]
fn way_anew(packet: Packet) -> u64 {
    let packet = packet.in_subprogram();
    let (Incoming::Packet(parsed), Some(us)) = (parse(packet), Us::get()) else {
        return 0;
    };
    let places = constants::hash().places(&parsed.key);
    let Some(entry) = table::find(&parsed.key, &places) else {
        return 0;
    };
    let Some(server) = maps::SERVERS.get(entry.key().server()) else {
        return 0;
    };
    let forward = from_client(&parsed.key, server);
    let route = client::route(packet, forward, entry.route());
    table::update_reverse(&entry, route, us.route_epoch());
    route
}
