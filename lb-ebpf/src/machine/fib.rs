//! The way back to a client, for replies that pass the director.

use core::mem::zeroed;

use aya_ebpf::{bindings::bpf_fib_lookup as FibLookup, helpers::generated::bpf_fib_lookup};
use lb_common::{
    layout::{
        interface::{ClientHop, NOWHERE},
        key::Key,
        slot::Reverse,
    },
    state::time::age,
};

use crate::{frame::Packet, machine::clock, maps, settings};

const AF_INET: u8 = 2;
const FOUND: i64 = 0;
/// The route is one that drops packets: a blackhole (1), unreachable (2) or prohibit (3).
const FORBIDDEN: core::ops::RangeInclusive<i64> = 1..=3;
/// There is a route, but the next hop's MAC address is not known.
const NO_NEIGHBOUR: i64 = 7;

/// Asks the kernel for the route from the VIP to the client of `forward`. Returns it as a
/// [`Reverse`] is stored, one that leads [`NOWHERE`] if the kernel would drop the packet; or
/// `otherwise` if there is no route, if the next hop's MAC address is not known yet, if forwarding
/// is off, or if the daemon has not told of the interface yet.
#[inline(never)]
pub fn route(packet: Packet, forward: Key, otherwise: u64) -> u64 {
    // SAFETY: plain integers, for which all zeroes is a value.
    let mut query: FibLookup = unsafe { zeroed() };
    query.family = AF_INET;
    query.l4_protocol = forward.protocol();
    query.sport = forward.destination_port();
    query.dport = forward.source_port();
    query.__bindgen_anon_3.ipv4_src = forward.destination();
    query.__bindgen_anon_4.ipv4_dst = forward.source();
    query.ifindex = packet.interface();
    // SAFETY: context and query are valid, and the size is the query's.
    let answer = unsafe {
        bpf_fib_lookup(
            packet.context().cast(),
            &raw mut query,
            size_of::<FibLookup>() as i32,
            0,
        )
    };
    if answer == FOUND || answer == NO_NEIGHBOUR {
        // SAFETY: the kernel has written the next hop there.
        note(query.ifindex, unsafe { query.__bindgen_anon_4.ipv4_dst });
    }
    if FORBIDDEN.contains(&answer) {
        let (next_hop, place) = ([0; 6], NOWHERE);
        return Reverse { next_hop, place }.bits();
    }
    if answer != FOUND {
        return otherwise;
    }
    match settings::place_of(query.ifindex) {
        Some(place) => {
            let next_hop = query.dmac;
            Reverse { next_hop, place }.bits()
        }
        None => otherwise,
    }
}

/// Notes a next hop for the daemon, once a second.
#[inline(always)]
fn note(interface: u32, address: u32) {
    let hop = ClientHop { interface, address };
    let now = clock::now();
    // SAFETY: an aligned word; whoever writes it meanwhile writes nearly the same.
    let noted = unsafe { maps::HOPS.get(hop) };
    if noted.is_none_or(|noted| age(now, *noted) >= settings::second()) {
        // Where that fails, another CPU writes the same at this moment.
        let _ = maps::HOPS.insert(hop, now, 0);
    }
}
