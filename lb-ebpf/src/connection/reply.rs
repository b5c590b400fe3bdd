//! A server's packets to the client of a NAT connection.
//!
//! Most replies change nothing: the connection is established, and stays so. They touch the
//! reverse entry only, which is stamped. Others (SYN, FIN, RST) step the connection's own entry.

use lb_common::{
    drops::Drop,
    layout::{slot::Reverse, word::FLAG_SETTLED},
    passes::Pass,
    protocol::TCP,
    server::SERVER_AVAILABLE,
    state::{self, tcp::TcpState},
    table::{live, memory::Table as _},
};

use crate::{
    account,
    connection::table::{self, Connections, Entry},
    forward,
    frame::{Incoming, Packet, Parsed, parse},
    machine::{clock, fib},
    maps, refuse, settings,
    verdict::Verdict,
};

/// Sends it on to the client, from the service's address. Returns the XDP action.
#[inline(always)]
pub fn reply(packet: Packet, parsed: &Parsed, entry: &Entry, now: u32) -> u32 {
    let verdict = answer(packet, parsed, entry, now);
    if verdict.is_drop() {
        return refuse::reply(packet, verdict, entry.constant.server()).action();
    }
    verdict.action()
}

#[inline(always)]
fn answer(packet: Packet, parsed: &Parsed, entry: &Entry, now: u32) -> Verdict {
    if !settings::addressed_by(parsed.interface, parsed.ethernet) {
        account::passed(Pass::OtherStation);
        return Verdict::PASS;
    }
    let index = entry.constant.server();
    let Some(server) = maps::SERVERS.get(index) else {
        return Verdict::drop(Drop::Inconsistent);
    };
    let established = TcpState::Established as u8;
    let news =
        entry.word.flags() & FLAG_SETTLED == 0 || !live::is_settled(established, parsed.flags);
    let stale = entry.word.stamp() != now;
    let state = if parsed.key.protocol() == TCP {
        established
    } else {
        state::UDP
    };
    let expired = stale && live::is_expired(Connections, entry.word.with_state(state), now);
    if (news || expired) && !tell(packet) {
        return Verdict::PASS;
    }
    if stale {
        table::stamp(entry, now);
    }
    let route = way_back(packet, entry);
    let interface = settings::interface_at(route.place);
    // SAFETY: a place in the map.
    let interface = unsafe { &*interface };
    if interface.index == 0 {
        return Verdict::drop(Drop::NoRoute);
    }
    if let Some(verdict) = forward::obstacle_by(parsed, interface.mtu) {
        return verdict;
    }
    if server.flags & SERVER_AVAILABLE != 0 {
        account::output(index, parsed.length);
    }
    forward::to_client(packet, parsed, server, route, interface)
}

/// Stamps and steps the connection's own entry. False if there is no connection any more. A
/// subprogram that parses the packet again, as those of [`admit`](crate::open::admit) do.
#[inline(never)]
fn tell(packet: Packet) -> bool {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return false;
    };
    let Some(reverse) = table::find(&parsed.key) else {
        return false;
    };
    let Some(server) = maps::SERVERS.get(reverse.constant.server()) else {
        return false;
    };
    let key = table::client_key(&parsed.key, server);
    let Some(forward) = table::find(&key) else {
        return false;
    };
    let now = clock::now();
    if !state::is_connection(forward.word.state()) || !live::is_alive(Connections, &forward, now) {
        return false;
    }
    if forward.word.stamp() != now {
        table::stamp(&forward, now);
    }
    if parsed.key.protocol() == TCP {
        if live::is_settled(forward.word.state(), parsed.flags) {
            live::settle(Connections, &reverse, &forward);
        } else {
            table::step(&forward, true, parsed.flags);
        }
    }
    true
}

/// The way to the client: as it is stored in the entry, or looked up again if routes or
/// neighbours have changed since.
#[inline(always)]
fn way_back(packet: Packet, entry: &Entry) -> Reverse {
    if entry.word.tail() == settings::route_epoch() {
        return Reverse::from_bits(Connections.route(entry.slot));
    }
    Reverse::from_bits(way_anew(packet))
}

#[inline(never)]
fn way_anew(packet: Packet) -> u64 {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return 0;
    };
    let Some(entry) = table::find(&parsed.key) else {
        return 0;
    };
    let Some(server) = maps::SERVERS.get(entry.constant.server()) else {
        return 0;
    };
    let forward = table::client_key(&parsed.key, server);
    let old = Connections.route(entry.slot);
    let new = fib::route(packet, forward, old);
    live::reroute(Connections, &entry, old, new, settings::route_epoch());
    new
}
