//! The director's interfaces, and the MAC addresses that they take frames for.

/// An Ethernet interface of the director.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Interface {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Zero: the program reads eight bytes from `mac` on.
    pub _zero: [u8; 2],
    /// Its index; 0 if there is no interface.
    pub index: u32,
    /// The largest IP packet that it takes, in bytes; the largest number for all above. 0 if it is
    /// not known.
    pub mtu: u16,
    /// Zero.
    pub _pad: [u8; 2],
}

/// A key of the map `stations`: the interface takes frames to this MAC address, although it is not
/// its own, or its place is taken by another interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Station {
    /// The MAC address.
    pub mac: [u8; 6],
    /// Zero.
    pub _zero: [u8; 2],
    /// The interface's index.
    pub interface: u32,
    /// Zero.
    pub _pad: u32,
}

/// A key of the map `hops`: a next hop that replies of NAT servers go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ClientHop {
    /// Index of the interface that it is behind.
    pub interface: u32,
    /// Its IPv4 address, as on the wire: a router's, or the client's own.
    pub address: u32,
}

const _: () = assert!(size_of::<Interface>() == 16 && size_of::<Station>() == 16);
const _: () = assert!(size_of::<ClientHop>() == 8);

/// Places for interfaces. Their numbers have 16 bits, as
/// [`Reverse::place`](super::slot::Reverse::place) stores them.
pub const INTERFACES: u32 = 1 << 16;

/// The place that no interface is ever at. A reverse entry has it where the program does not know
/// the interface that its client is behind, or the routing table forbids to send there.
pub const NOWHERE: u16 = 0;

/// How many places an interface may be at.
const CHOICES: u32 = 8;

/// The places where an interface with this index may be, in the order in which they are looked at.
/// Nearly always it is at the first one, which the lower 16 bits of its index give. It is at
/// another one where an index that has the same lower bits is in use, too.
#[inline(always)]
pub fn places(index: u32) -> impl Iterator<Item = u32> {
    (0..CHOICES).map(move |choice| home(index.wrapping_add(choice)))
}

/// Those of its [`places`] that an interface may be put at.
pub fn places_to_use(index: u32) -> impl Iterator<Item = u32> {
    places(index).filter(|&place| place != u32::from(NOWHERE))
}

/// The first of an interface's [`places`].
#[inline(always)]
#[must_use]
pub const fn home(index: u32) -> u32 {
    index % INTERFACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_interface_is_nowhere() {
        for index in [1, INTERFACES - 3, INTERFACES, INTERFACES + 1, u32::MAX] {
            let mut places = places_to_use(index);
            assert!(places.all(|place| place != u32::from(NOWHERE) && place < INTERFACES));
        }
        assert_eq!(places_to_use(INTERFACES).next(), Some(1));
        assert_eq!(places_to_use(7).next(), Some(7));
    }
}
