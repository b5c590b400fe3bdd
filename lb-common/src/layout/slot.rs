//! A slot of the connection table, as compact entries use it: IPv4, 32 bytes, half a cache line.

use super::key::Key;

/// One place in the table.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// Written while the slot is claimed, constant while the entry is live.
    pub key: Key,
    /// A [`Word`](super::word::Word).
    pub word: u64,
    /// A [`Forward`] or, in a reverse entry, a [`Reverse`].
    pub route: u64,
}

/// Slots in a bucket.
pub const BUCKET_SLOTS: u32 = 8;

/// The slots that a key chooses together: four cache lines.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Bucket {
    /// In no order.
    pub slots: [Slot; BUCKET_SLOTS as usize],
}

const _: () = assert!(size_of::<Slot>() == 32 && size_of::<Bucket>() == 256);

/// The index that stands for no slot.
pub const NO_SLOT: u32 = u32::MAX;

/// The route of a connection: where its reverse entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The reverse entry's slot, or [`NO_SLOT`].
    pub reverse: u32,
    /// The reverse entry's generation. Another generation in that slot is another entry.
    pub generation: u8,
}

impl Forward {
    /// Of a connection without a reverse entry.
    pub const NONE: Self = Self {
        reverse: NO_SLOT,
        generation: 0,
    };

    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.reverse as u64 | (self.generation as u64) << 32
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            reverse: bits as u32,
            generation: (bits >> 32) as u8,
        }
    }
}

/// The route of a reverse entry: the way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverse {
    /// MAC address of the next hop towards the client.
    pub next_hop: [u8; 6],
    /// The place of the interface to leave by: see [`places`](super::interface::places).
    pub place: u16,
}

impl Reverse {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        let [a, b, c, d, e, f] = self.next_hop;
        let [g, h] = self.place.to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = bits.to_ne_bytes();
        Self {
            next_hop: [a, b, c, d, e, f],
            place: u16::from_ne_bytes([g, h]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn routes_survive_the_slot(reverse in any::<u32>(), generation in any::<u8>(), next_hop in any::<[u8; 6]>(), place in any::<u16>()) {
            let forward = Forward { reverse, generation };
            prop_assert_eq!(Forward::from_bits(forward.bits()), forward);
            let route = Reverse { next_hop, place };
            prop_assert_eq!(Reverse::from_bits(route.bits()), route);
        }
    }
}
