//! What the director is: its addresses, interfaces and settings, as the daemon says.

use core::ptr::read_volatile;

use lb_common::{
    address_filter,
    connection::TICK_SHIFT,
    layout::{INTERFACES, Interface},
};

use crate::{maps::BALANCER, verifier};

/// False for an address that is no service's and no NAT server's. True for some others, too.
#[inline(always)]
pub fn concerned_by(address: u32) -> bool {
    // SAFETY: a byte of the variable; volatile, as all that follow, for the daemon writes it.
    unsafe {
        let marks = (&raw const BALANCER.addresses).cast::<u8>();
        read_volatile(marks.add(address_filter::mark(address) as usize)) != 0
    }
}

/// The interface whose index has these lower 16 bits.
#[inline(always)]
pub fn interface(index: u32) -> *const Interface {
    // SAFETY: a place in the variable.
    unsafe {
        (&raw const BALANCER.interfaces)
            .cast::<Interface>()
            .add((index % INTERFACES) as usize)
    }
}

/// False for frames to other stations, which a bridge or a promiscuous interface shows us.
#[inline(always)]
pub fn addressed_by(interface: u32, frame: *mut u8) -> bool {
    // Another interface at this place would have another address.
    // SAFETY: pointers into the variable, and to a frame with a whole IPv4 header. What stands
    // behind the address there is 0, and source here: the two upper bytes.
    unsafe {
        let mac = read_volatile(self::interface(interface).cast::<u64>());
        verifier::without_upper::<16>(mac ^ *frame.cast::<u64>()) == 0
    }
}

/// Goes up whenever a route or a neighbour has changed.
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

/// How long a connection may wait in a state, in ticks.
#[inline(always)]
pub fn timeout(state: u8) -> u32 {
    // SAFETY: as above; there are 16 values.
    unsafe {
        let timeouts = (&raw const BALANCER.settings.timeouts).cast::<u32>();
        read_volatile(timeouts.add(verifier::low_nibble(state)))
    }
}
