//! The IPv4 header (RFC 791).

use core::mem::offset_of;

use lb_common::checksum::{self, Delta};
use network_types::ip::Ipv4Hdr;

use super::{
    link::Link,
    packet::{Field, Header, Packet},
};

pub const VERSION_AND_LENGTH: Field<Ipv4Hdr, u8> = Field::at(offset_of!(Ipv4Hdr, vihl));
pub const TOS: Field<Ipv4Hdr, u8> = Field::at(offset_of!(Ipv4Hdr, tos));
pub const LENGTH: Field<Ipv4Hdr, u16> = Field::at(offset_of!(Ipv4Hdr, tot_len));
pub const ID: Field<Ipv4Hdr, u16> = Field::at(offset_of!(Ipv4Hdr, id));
pub const FRAGMENT: Field<Ipv4Hdr, u16> = Field::at(offset_of!(Ipv4Hdr, frags));
pub const TTL: Field<Ipv4Hdr, u8> = Field::at(offset_of!(Ipv4Hdr, ttl));
pub const PROTOCOL: Field<Ipv4Hdr, u8> = Field::at(offset_of!(Ipv4Hdr, proto));
pub const CHECKSUM: Field<Ipv4Hdr, u16> = Field::at(offset_of!(Ipv4Hdr, check));
pub const SOURCE: Field<Ipv4Hdr, u32> = Field::at(offset_of!(Ipv4Hdr, src_addr));
pub const DESTINATION: Field<Ipv4Hdr, u32> = Field::at(offset_of!(Ipv4Hdr, dst_addr));

/// Fragment, time to live and protocol.
pub const FRAGMENT_TO_PROTOCOL: Field<Ipv4Hdr, u32> = Field::at(offset_of!(Ipv4Hdr, frags));
/// Source and destination, as in a [`Key`](lb_common::layout::key::Key).
pub const ADDRESSES: Field<Ipv4Hdr, u64> = Field::at(offset_of!(Ipv4Hdr, src_addr));
/// Time to live, protocol and checksum.
const TTL_TO_CHECKSUM: Field<Ipv4Hdr, u32> = Field::at(offset_of!(Ipv4Hdr, ttl));

/// IPv4, in a header without options.
pub const PLAIN: u8 = 0x45;

/// Parts of the field "fragment", as on the wire.
pub const DONT_FRAGMENT: u16 = 0x4000u16.to_be();
/// More fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000u16.to_be();
/// Where in the packet this fragment belongs.
pub const FRAGMENT_OFFSET: u16 = 0x1FFFu16.to_be();

/// Bytes of the header, with its options.
#[inline(always)]
pub fn header_length(ip: Header<Ipv4Hdr>) -> usize {
    usize::from(ip.get(VERSION_AND_LENGTH) & 0x0F) * 4
}

/// False if the checksum of a header, all of which is in the frame, says that it was damaged.
#[inline(always)]
pub fn is_checksum_right(packet: Packet, link: Link, ip: Header<Ipv4Hdr>) -> bool {
    const WORDS: [Field<Ipv4Hdr, u32>; 5] = [
        Field::at(0),
        Field::at(4),
        Field::at(8),
        Field::at(12),
        Field::at(16),
    ];
    let mut sum: u64 = WORDS.iter().map(|word| u64::from(ip.get(*word))).sum();
    let length = header_length(ip);
    for option in 0..MOST_OPTIONS {
        let offset = Ipv4Hdr::LEN + 4 * option;
        if offset >= length {
            break;
        }
        let Some(word) = packet.behind::<u32>(link.length() + offset) else {
            return false;
        };
        sum += u64::from(word.value());
    }
    checksum::fold(sum) == 0xFFFF
}

/// Words of options that a header can have.
const MOST_OPTIONS: usize = 10;

/// Decrements the time to live, which must not be 0.
#[inline(always)]
pub fn decrement_ttl(ip: Header<Ipv4Hdr>) {
    let word = ip.get(TTL_TO_CHECKSUM);
    ip.set(TTL_TO_CHECKSUM, checksum::after_hop(word));
}

/// Replaces an address, and corrects the checksum, for which that is this `change`.
#[inline(always)]
pub fn rewrite(ip: Header<Ipv4Hdr>, address: Field<Ipv4Hdr, u32>, new: u32, change: Delta) {
    ip.set(address, new);
    ip.set(CHECKSUM, change.apply(ip.get(CHECKSUM)));
}

/// A header without options that is to be written; numbers as on the wire.
#[derive(Clone, Copy)]
pub struct New {
    pub tos: u8,
    pub length: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub source: u32,
    pub destination: u32,
}

impl New {
    /// Its checksum.
    #[inline(always)]
    pub const fn checksum(&self) -> u16 {
        checksum::of_words(&[
            u16::from_ne_bytes([PLAIN, self.tos]),
            self.length,
            self.id,
            self.fragment,
            u16::from_ne_bytes([self.ttl, self.protocol]),
            self.source as u16,
            (self.source >> 16) as u16,
            self.destination as u16,
            (self.destination >> 16) as u16,
        ])
    }

    /// Writes it, with its checksum.
    #[inline(always)]
    pub fn write(&self, ip: Header<Ipv4Hdr>, checksum: u16) {
        ip.set(VERSION_AND_LENGTH, PLAIN);
        ip.set(TOS, self.tos);
        ip.set(LENGTH, self.length);
        ip.set(ID, self.id);
        ip.set(FRAGMENT, self.fragment);
        ip.set(TTL, self.ttl);
        ip.set(PROTOCOL, self.protocol);
        ip.set(CHECKSUM, checksum);
        ip.set(SOURCE, self.source);
        ip.set(DESTINATION, self.destination);
    }
}
