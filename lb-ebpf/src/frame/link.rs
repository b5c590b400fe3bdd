//! The link header: Ethernet, and whatever else there may be in front of the IP header.

use core::mem::offset_of;

use network_types::eth::EthHdr;

use super::packet::{Field, Header};

/// Destination and the first two bytes of the source.
pub const FIRST_EIGHT: Field<EthHdr, u64> = Field::at(0);
const LAST_FOUR_OF_ADDRESSES: Field<EthHdr, u32> = Field::at(8);
const DESTINATION: [Field<EthHdr, u16>; 3] = [Field::at(0), Field::at(2), Field::at(4)];
const SOURCE: [Field<EthHdr, u16>; 3] = [Field::at(6), Field::at(8), Field::at(10)];
const ETHERTYPE: Field<EthHdr, u16> = Field::at(offset_of!(EthHdr, ether_type));

const IPV4: u16 = 0x0800u16.to_be();

/// A link header in front of an IPv4 header. Its length is what all other offsets count from.
#[derive(Clone, Copy)]
pub struct Link {
    length: usize,
}

impl Link {
    /// Ethernet without tags.
    pub const ETHERNET: Self = Self {
        length: EthHdr::LEN,
    };

    /// Reads it. `None` if no IPv4 header follows, and for tagged frames.
    #[inline(always)]
    pub fn of(ethernet: Header<EthHdr>) -> Option<Self> {
        (ethernet.get(ETHERTYPE) == IPV4).then_some(Self::ETHERNET)
    }

    /// Its length in bytes: where the IP header begins.
    #[inline(always)]
    pub const fn length(self) -> usize {
        self.length
    }

    /// Writes all of it but the addresses to the start of a frame that gets an IPv4 header here.
    #[inline(always)]
    pub fn write(self, ethernet: Header<EthHdr>) {
        ethernet.set(ETHERTYPE, IPV4);
    }
}

/// Writes the Ethernet addresses: destination and source, as in `Server::ethernet`.
#[inline(always)]
pub fn address(ethernet: Header<EthHdr>, addresses: &[u32; 3]) {
    /// The twelve bytes as two words, which takes two loads.
    #[repr(C)]
    struct Words {
        first: u64,
        last: u32,
    }
    let words = (&raw const *addresses).cast::<Words>();
    // SAFETY: 12 bytes. Callers pass a map entry's first field, or what is on the stack: both
    // are aligned to 8 bytes.
    let (first, last) = unsafe { ((*words).first, (*words).last) };
    ethernet.set(FIRST_EIGHT, first);
    ethernet.set(LAST_FOUR_OF_ADDRESSES, last);
}

/// The Ethernet addresses of a frame.
#[derive(Clone, Copy)]
pub struct Addresses {
    destination: [u16; 3],
    source: [u16; 3],
}

impl Addresses {
    /// Reads them.
    #[inline(always)]
    pub fn of(ethernet: Header<EthHdr>) -> Self {
        Self {
            destination: DESTINATION.map(|field| ethernet.get(field)),
            source: SOURCE.map(|field| ethernet.get(field)),
        }
    }

    /// The addresses of an answer: destination and source exchanged.
    #[inline(always)]
    pub const fn reversed(self) -> Self {
        Self {
            destination: self.source,
            source: self.destination,
        }
    }

    /// Writes them.
    #[inline(always)]
    pub fn write(self, ethernet: Header<EthHdr>) {
        for word in 0..3 {
            ethernet.set(DESTINATION[word], self.destination[word]);
            ethernet.set(SOURCE[word], self.source[word]);
        }
    }

    /// The station that sent the frame.
    #[inline(always)]
    pub fn source(self) -> [u8; 6] {
        let [[a, b], [c, d], [e, f]] = self.source.map(u16::to_ne_bytes);
        [a, b, c, d, e, f]
    }
}
