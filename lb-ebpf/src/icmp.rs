//! ICMP errors to clients (RFC 792), where IPVS sends them too.

use lb_common::{checksum, connection::Key, drops::Drop};
use network_types::ip::Ipv4Hdr;

use crate::{
    clock, maps,
    packet::Packet,
    parse::{IP, load, store},
    us,
};

const ICMP: u8 = 1;
const TIME_TO_LIVE: u8 = 64;
const VERSION_4_LENGTH_20: u8 = 0x45;
const DONT_FRAGMENT: u16 = 0x4000u16.to_be();

/// What is sent: an IPv4 header, ICMP's eight bytes, and of the packet in question its header
/// and eight bytes more.
const QUOTED: usize = Ipv4Hdr::LEN + 8;
const ADDED: usize = Ipv4Hdr::LEN + 8;

/// What the errors of this tick were.
#[repr(C)]
pub struct Sent {
    /// The tick.
    pub tick: u32,
    /// How many.
    pub errors: u32,
}

/// Turns a client's packet that cannot go on into the ICMP error that says so, addressed to
/// its sender. False where there is none for the reason, where the packet is not of the plain
/// kind, or where too many have been sent: then the packet is dropped without a word.
#[inline(never)]
pub fn answer(packet: Packet, key: Key, reason: Drop, mtu: u16) -> bool {
    // Type and code, as the first word of the ICMP header.
    let kind = match reason {
        Drop::NoServer => [3, 3],
        Drop::TooBig => [3, 4],
        Drop::TtlExpired => [11, 0],
        Drop::ServerGone
        | Drop::NextHopUnknown
        | Drop::TableFull
        | Drop::Fragment
        | Drop::NoRoute
        | Drop::NoHeadroom
        | Drop::Inconsistent
        | Drop::UnknownScheduler => return false,
    };
    let Some(ip) = packet.at::<Ipv4Hdr>(IP) else {
        return false;
    };
    // SAFETY: `at` gives pointers to whole headers within the packet.
    let (plain, fragment) = unsafe {
        (
            (*ip).vihl == VERSION_4_LENGTH_20,
            load::<u16>(&raw const (*ip).frags),
        )
    };
    if !plain
        || !is_single_host(key.source())
        || (reason == Drop::TooBig && fragment & DONT_FRAGMENT == 0)
        || !within_limit()
    {
        return false;
    }
    let Some(frame) = packet.at::<Frame>(0) else {
        return false;
    };
    // SAFETY: as above.
    let Frame {
        destination,
        source,
        ethertype,
    } = unsafe { frame.read() };
    let surplus = packet.length() as i32 - (IP + QUOTED) as i32;
    if surplus < 0 || !packet.move_end(-surplus) || !packet.move_start(-(ADDED as i32)) {
        return false;
    }
    let (Some(frame), Some(ip), Some(icmp)) = (
        packet.at::<Frame>(0),
        packet.at::<Ipv4Hdr>(IP),
        packet.at::<[u16; (8 + QUOTED) / 2]>(IP + Ipv4Hdr::LEN),
    ) else {
        return false;
    };
    let length = ((ADDED + QUOTED) as u16).to_be();
    let from = key.destination();
    let to = key.source();
    // SAFETY: as above.
    unsafe {
        frame.write(Frame {
            destination: source,
            source: destination,
            ethertype,
        });
        (*ip).vihl = VERSION_4_LENGTH_20;
        (*ip).tos = 0;
        store(&raw mut (*ip).tot_len, length);
        store(&raw mut (*ip).id, 0u16);
        store(&raw mut (*ip).frags, DONT_FRAGMENT);
        (*ip).ttl = TIME_TO_LIVE;
        (*ip).proto = ICMP;
        store(&raw mut (*ip).src_addr, from);
        store(&raw mut (*ip).dst_addr, to);
        let sum = checksum::of_words(&[
            u16::from_ne_bytes([VERSION_4_LENGTH_20, 0]),
            length,
            DONT_FRAGMENT,
            u16::from_ne_bytes([TIME_TO_LIVE, ICMP]),
            from as u16,
            (from >> 16) as u16,
            to as u16,
            (to >> 16) as u16,
        ]);
        store(&raw mut (*ip).check, sum);
        (*icmp)[0] = u16::from_ne_bytes(kind);
        (*icmp)[1] = 0;
        (*icmp)[2] = 0;
        (*icmp)[3] = mtu.to_be();
        (*icmp)[1] = checksum::of_words(&*icmp);
    }
    true
}

/// False for addresses that are nobody's or many hosts' (RFC 1122, section 3.2.2).
#[inline(always)]
fn is_single_host(address: u32) -> bool {
    let [first, ..] = address.to_ne_bytes();
    !matches!(first, 0 | 127 | 224..)
}

/// At most so many errors a tick and CPU.
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
        (*sent).errors <= us::errors_per_tick()
    }
}

#[repr(C)]
struct Frame {
    destination: [u16; 3],
    source: [u16; 3],
    ethertype: u16,
}
