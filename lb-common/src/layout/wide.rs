//! Room for entries that do not fit into a compact slot: IPv6, and NAT where the server's entry
//! cannot say which VIP and port a reply comes from (port 0, marks, FULLNAT).
//!
//! No map has them yet. They follow the same protocol (`crate::table`) in a table of their own.

use super::slot::BUCKET_SLOTS;

/// Source and destination of a packet, as [`Key`](super::key::Key) with IPv6 addresses. An IPv4
/// address is stored as IPv4-mapped (RFC 4291, section 2.5.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct WideKey {
    /// As on the wire.
    pub source: [u64; 2],
    /// As on the wire.
    pub destination: [u64; 2],
    /// Ports, protocol and server, as in [`Key`](super::key::Key).
    pub ports: u64,
}

/// The addresses that NAT puts into a packet instead of those in the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Translation {
    /// New source address. In a reverse entry: the VIP. With FULLNAT: the director's own address.
    pub source: [u64; 2],
    /// New destination address where it is not the server's: FULLNAT's client.
    pub destination: [u64; 2],
    /// New source port (bits 0 to 15) and destination port (16 to 31), as on the wire.
    pub ports: u64,
}

/// One place in a table of wide entries.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct WideSlot {
    /// Written while the slot is claimed, constant while the entry is live.
    pub key: WideKey,
    /// A [`Word`](super::word::Word).
    pub word: u64,
    /// As in a compact [`Slot`](super::slot::Slot).
    pub route: u64,
    /// Written and constant together with the key.
    pub translation: Translation,
}

/// The slots that a key chooses together.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct WideBucket {
    /// In no order.
    pub slots: [WideSlot; BUCKET_SLOTS as usize],
}

const _: () = assert!(size_of::<WideSlot>() == 96 && size_of::<WideBucket>() == 768);

impl WideSlot {
    /// What does not change while the entry is live.
    #[must_use]
    pub const fn constant(&self) -> WideEntry {
        WideEntry {
            key: self.key,
            translation: self.translation,
        }
    }
}

/// What does not change while a wide entry is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WideEntry {
    /// Which packets it is for.
    pub key: WideKey,
    /// What NAT makes of them.
    pub translation: Translation,
}

impl WideKey {
    /// The index of the server.
    #[must_use]
    pub const fn server(&self) -> u32 {
        (self.ports >> SERVER_SHIFT) as u32
    }

    /// 0 for keys of the same packets, whatever servers they name.
    #[must_use]
    pub const fn difference(&self, other: &Self) -> u64 {
        let [a, b] = self.source;
        let [c, d] = self.destination;
        let [e, f] = other.source;
        let [g, h] = other.destination;
        a ^ e | b ^ f | c ^ g | d ^ h | (self.ports ^ other.ports) << (64 - SERVER_SHIFT)
    }

    /// True if `reverse`, the key of a reverse entry, leads back to the connection with this
    /// key.
    #[must_use]
    pub const fn is_answered_by(&self, reverse: &Self) -> bool {
        const PROTOCOL: u64 = 0xFF;
        let [a, b] = self.source;
        let [c, d] = reverse.destination;
        let (ours, theirs) = (self.ports, reverse.ports);
        a == c
            && b == d
            && ours as u16 == (theirs >> 16) as u16
            && ours >> 32 & PROTOCOL == theirs >> 32 & PROTOCOL
            && ours >> SERVER_SHIFT == theirs >> SERVER_SHIFT
    }
}

const SERVER_SHIFT: u32 = 40;
