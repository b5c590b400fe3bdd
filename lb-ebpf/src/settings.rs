//! The director's addresses, interfaces and settings, as the daemon wrote them.

use core::ptr::read_volatile;

use lb_common::{
    address_filter,
    layout::{INTERFACES, Interface},
    state::time::TICK_SHIFT,
};

use network_types::eth::EthHdr;

use crate::{
    frame::{Header, link},
    machine::verifier,
    maps::BALANCER,
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

/// The interface whose index has the same lower 16 bits.
#[inline(always)]
pub fn interface(index: u32) -> *const Interface {
    // SAFETY: a place in the variable.
    unsafe {
        (&raw const BALANCER.interfaces)
            .cast::<Interface>()
            .add((index % INTERFACES) as usize)
    }
}

/// False for frames to other stations, which a bridge or a promiscuous interface receives too.
#[inline(always)]
pub fn addressed_by(interface: u32, ethernet: Header<EthHdr>) -> bool {
    // Indices that share their lower 16 bits share a place; the MAC address tells them apart.
    // Reads 8 bytes: 6 of MAC and 2 that do not count.
    // SAFETY: a pointer into the variable.
    let mac = unsafe { read_volatile(self::interface(interface).cast::<u64>()) };
    verifier::without_upper::<16>(mac ^ ethernet.get(link::FIRST_EIGHT)) == 0
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
