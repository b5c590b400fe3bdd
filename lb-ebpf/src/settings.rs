//! The director's addresses, interfaces and settings, as the daemon wrote them.

use core::ptr::read_volatile;

use lb_common::{
    address_filter,
    layout::interface::{Interface, Station, home, places},
    state::time::TICK_SHIFT,
};

use network_types::eth::EthHdr;

use crate::{
    frame::{Header, link},
    machine::verifier,
    maps::{self, BALANCER},
};

/// False only for an address that is no service's and no NAT server's. It may be true for
/// others: see [`address_filter`].
#[inline(always)]
pub fn concerned_by(address: u32) -> bool {
    // SAFETY: a byte of the variable. All reads here are volatile: the daemon may write.
    unsafe {
        let marks = (&raw const BALANCER.addresses).cast::<u8>();
        read_volatile(marks.add(address_filter::mark(address) as usize)) != 0
    }
}

/// The interface at a place: see [`places`].
#[inline(always)]
pub fn interface_at(place: u16) -> *const Interface {
    // SAFETY: a place in the variable.
    unsafe {
        (&raw const BALANCER.interfaces)
            .cast::<Interface>()
            .add(usize::from(place))
    }
}

/// The place of the interface with this index. `None` if the daemon has not told of it yet.
#[inline(always)]
pub fn place_of(index: u32) -> Option<u16> {
    for place in places(index) {
        // SAFETY: a word of the variable.
        let there = unsafe { read_volatile(&raw const (*interface_at(place as u16)).index) };
        if there == index {
            return Some(place as u16);
        }
    }
    None
}

/// The largest IP packet that an interface receives; `None` if it is not known.
#[inline(always)]
pub fn mtu(index: u32) -> Option<u16> {
    let place = place_of(index)?;
    // SAFETY: a word of the variable.
    let mtu = unsafe { read_volatile(&raw const (*interface_at(place)).mtu) };
    (mtu != 0).then_some(mtu)
}

/// True for frames to the MAC address of the interface at the first place of this index, which
/// nearly all frames are for that concern the director.
#[inline(always)]
pub fn addressed_by_first(interface: u32, ethernet: Header<EthHdr>) -> bool {
    // Reads 8 bytes: 6 of MAC and 2 that do not count.
    // SAFETY: a pointer into the variable.
    let mac = unsafe { read_volatile(interface_at(home(interface) as u16).cast::<u64>()) };
    verifier::without_upper::<16>(mac ^ ethernet.get(link::FIRST_EIGHT)) == 0
}

/// False for frames to other stations, which a bridge or a promiscuous interface receives too.
#[inline(always)]
pub fn addressed_by(interface: u32, ethernet: Header<EthHdr>) -> bool {
    addressed_by_first(interface, ethernet) || takes(interface, ethernet.get(link::FIRST_EIGHT))
}

/// True for frames to another MAC address that the interface takes, too.
#[inline(never)]
fn takes(interface: u32, first_of_frame: u64) -> bool {
    let [a, b, c, d, e, f, ..] = first_of_frame.to_ne_bytes();
    let station = Station {
        mac: [a, b, c, d, e, f],
        interface,
        ..Station::default()
    };
    maps::STATIONS.get_ptr(station).is_some()
}

/// True for addresses that no client can have (as on the wire): the director's own, VIPs, and
/// those of no or many hosts (RFC 1122, section 3.2.1.3).
#[inline(always)]
pub fn is_no_client(address: u32) -> bool {
    !is_single_host(address) || maps::OWN.get_ptr(address).is_some()
}

/// False for addresses that nobody or many hosts have.
#[inline(always)]
pub fn is_single_host(address: u32) -> bool {
    let [first, ..] = address.to_ne_bytes();
    !matches!(first, 0 | 127 | 224..)
}

/// Goes up with every change of a route or a neighbour.
#[inline(always)]
pub fn route_epoch() -> u16 {
    // SAFETY: an aligned word of the variable.
    unsafe { read_volatile(&raw const BALANCER.settings.route_epoch) as u16 }
}

/// The ticks in a second.
#[inline(always)]
pub fn second() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&raw const BALANCER.settings.hz) >> TICK_SHIFT }
}

/// ICMP errors that one CPU may send in a tick.
#[inline(always)]
pub fn errors_per_tick() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&raw const BALANCER.settings.errors_per_tick) }
}

/// How long a connection may be in a state without a packet, in ticks.
#[inline(always)]
pub fn timeout(state: u8) -> u32 {
    // SAFETY: as above; there is a value for each number of seven bits.
    unsafe {
        let timeouts = (&raw const BALANCER.settings.timeouts).cast::<u32>();
        read_volatile(timeouts.add(verifier::seven_bits(state)))
    }
}

/// The server whose connections are being counted anew, plus one; 0 for none.
#[inline(always)]
pub fn recounted() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(&raw const BALANCER.recount.server) }
}
