//! What the director is: its addresses, interfaces and settings, as the daemon says.

use lb_common::{
    address_filter,
    connection::TICK_SHIFT,
    layout::{Director, PORTS, Port},
};

use crate::{maps, packet::Packet, verifier};

/// The map's one entry, looked up once for each packet.
#[derive(Clone, Copy)]
pub struct Us {
    director: *const Director,
}

impl Us {
    /// As it is now.
    #[inline(always)]
    pub fn get() -> Option<Self> {
        let director = maps::SETTINGS.get_ptr(0)?;
        Some(Self { director })
    }

    /// False for an address that is no service's and no NAT server's. True for some others,
    /// too.
    #[inline(always)]
    pub fn concerned_by(self, address: u32) -> bool {
        let (word, bit) = address_filter::place(address);
        // SAFETY: the word lies in the bitmap, and the bitmap in the map.
        unsafe {
            let bitmap = (&raw const (*self.director).addresses).cast::<u64>();
            *bitmap.add(word as usize) & bit != 0
        }
    }

    /// The interface whose index has these lower 16 bits.
    #[inline(always)]
    pub fn port(self, index: u32) -> *const Port {
        // SAFETY: the place lies in the map.
        unsafe {
            let ports = (&raw const (*self.director).ports).cast::<Port>();
            ports.add((index % PORTS) as usize)
        }
    }

    /// False for frames to other stations, which a bridge or a promiscuous interface shows us.
    #[inline(always)]
    pub fn addressed_by(self, packet: Packet) -> bool {
        let Some(frame) = packet.at::<[u16; 3]>(0) else {
            return false;
        };
        let interface = packet.interface();
        let port = self.port(interface);
        // SAFETY: pointers into the map and into the packet; words as large as alignment, which
        // packets do not need, lets them be.
        unsafe {
            let mac = (&raw const (*port).mac).cast::<u32>();
            let destination = frame.cast::<u32>();
            let first = *mac ^ *destination;
            let last = *mac.add(1).cast::<u16>() ^ *destination.add(1).cast::<u16>();
            (*port).interface == interface && first | u32::from(last) == 0
        }
    }

    /// Goes up whenever a route or a neighbour has changed.
    #[inline(always)]
    pub fn route_epoch(self) -> u16 {
        // SAFETY: an aligned word of the map.
        unsafe { (*self.director).settings.route_epoch as u16 }
    }

    /// The ticks in a second.
    #[inline(always)]
    pub fn second(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.director).settings.hz >> TICK_SHIFT }
    }

    /// ICMP errors that one CPU may send in a tick.
    #[inline(always)]
    pub fn errors_per_tick(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.director).settings.errors_per_tick }
    }

    /// How long a connection may wait in a state, in ticks.
    #[inline(always)]
    pub fn timeout(self, state: u8) -> u32 {
        // SAFETY: as above; there are 16 values.
        unsafe {
            let timeouts = (&raw const (*self.director).settings.timeouts).cast::<u32>();
            *timeouts.add(verifier::low_nibble(state))
        }
    }
}
