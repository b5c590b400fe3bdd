//! ICMP errors to clients and servers (RFC 792), where IPVS sends them too.

use core::mem::offset_of;

use lb_common::{checksum, drops::Drop, layout::key::Key};
use network_types::{eth::EthHdr, ip::Ipv4Hdr};

use crate::{
    frame::{
        Field, Packet, ipv4,
        link::{Addresses, Link},
    },
    machine::clock,
    maps, settings,
};

const ICMP: u8 = 1;
const TIME_TO_LIVE: u8 = 64;

/// Of the refused packet, an error quotes its header and eight bytes.
const QUOTED: usize = Ipv4Hdr::LEN + 8;
/// In front of that: an IPv4 header and the eight bytes of ICMP's.
const ADDED: usize = Ipv4Hdr::LEN + 8;

/// Turns a packet that is refused into the ICMP error that says so, from this address to the
/// packet's sender. False if there is no error for the reason, if the packet has options, or if too
/// many errors have been sent: then the packet is dropped without an answer.
#[inline(never)]
pub fn answer(packet: Packet, key: Key, from: u32, reason: Drop, mtu: u16) -> bool {
    // ICMP's type and code.
    let kind = match reason {
        Drop::NoServer | Drop::SameReplies => [3, 3],
        Drop::TooBig => [3, 4],
        Drop::TtlExpired => [11, 0],
        Drop::ServerGone
        | Drop::NextHopUnknown
        | Drop::TableFull
        | Drop::Fragment
        | Drop::NotSent
        | Drop::NoRoute
        | Drop::NoHeadroom
        | Drop::Inconsistent
        | Drop::UnknownScheduler
        | Drop::Merged => return false,
    };
    let Some(ethernet) = packet.at::<EthHdr>(0) else {
        return false;
    };
    let Some(link) = Link::of(ethernet) else {
        return false;
    };
    let Some(ip) = packet.at::<Ipv4Hdr>(link.length()) else {
        return false;
    };
    let may_fragment = ip.get(ipv4::FRAGMENT) & ipv4::DONT_FRAGMENT == 0;
    if ip.get(ipv4::VERSION_AND_LENGTH) != ipv4::PLAIN
        || from == 0
        || (reason == Drop::TooBig && may_fragment)
        || !within_limit()
    {
        return false;
    }
    let addresses = Addresses::of(ethernet);
    let surplus = packet.length() as i32 - (link.length() + QUOTED) as i32;
    if surplus < 0 || !packet.move_end(-surplus) || !packet.move_start(-(ADDED as i32)) {
        return false;
    }
    let (Some(ethernet), Some(ip), Some(icmp)) = (
        packet.at::<EthHdr>(0),
        packet.at::<Ipv4Hdr>(link.length()),
        packet.at::<Message>(link.length() + Ipv4Hdr::LEN),
    ) else {
        return false;
    };
    addresses.reversed().write(ethernet);
    link.write(ethernet);
    let header = ipv4::New {
        tos: 0,
        length: ((ADDED + QUOTED) as u16).to_be(),
        id: 0,
        fragment: ipv4::DONT_FRAGMENT,
        ttl: TIME_TO_LIVE,
        protocol: ICMP,
        source: from,
        destination: key.source(),
    };
    header.write(ip, header.checksum());
    icmp.set(Message::KIND, u16::from_ne_bytes(kind));
    icmp.set(Message::CHECKSUM, 0);
    icmp.set(Message::UNUSED, 0);
    icmp.set(Message::MTU, mtu.to_be());
    let words = Message::WORDS.map(|word| icmp.get(word));
    icmp.set(Message::CHECKSUM, checksum::of_words(&words));
    true
}

/// An error's ICMP header, and what it quotes.
#[repr(C)]
struct Message {
    kind: u16,
    checksum: u16,
    unused: u16,
    mtu: u16,
    quoted: [u8; QUOTED],
}

impl Message {
    const KIND: Field<Self, u16> = Field::at(offset_of!(Self, kind));
    const CHECKSUM: Field<Self, u16> = Field::at(offset_of!(Self, checksum));
    const UNUSED: Field<Self, u16> = Field::at(offset_of!(Self, unused));
    const MTU: Field<Self, u16> = Field::at(offset_of!(Self, mtu));

    /// All of it.
    const WORDS: [Field<Self, u16>; size_of::<Self>() / 2] = {
        let mut words = [Field::at(0); size_of::<Self>() / 2];
        let mut word = 0;
        while word < words.len() {
            words[word] = Field::at(2 * word);
            word += 1;
        }
        words
    };
}

/// Counts an error; false if this CPU has sent too many in this tick.
#[inline(always)]
fn within_limit() -> bool {
    let Some(sent) = maps::ICMP_SENT.get_ptr_mut(0) else {
        return false;
    };
    let now = clock::now();
    // SAFETY: only this CPU uses this entry.
    unsafe {
        if (*sent).tick != now {
            (*sent).tick = now;
            (*sent).errors = 0;
        }
        (*sent).errors += 1;
        (*sent).errors <= settings::errors_per_tick()
    }
}
