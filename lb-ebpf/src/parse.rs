//! Ethernet, IPv4, TCP and UDP: what a packet says of itself.

use lb_common::{
    connection::{Key, TCP, UDP},
    tcp,
};
use network_types::{eth::EthHdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use crate::packet::Packet;

/// Where the IPv4 header begins.
pub const IP: usize = EthHdr::LEN;

/// EtherType, version and header length, as the four bytes from the EtherType on show them.
const IPV4_PLAIN: u32 = u32::from_ne_bytes([0x08, 0x00, 0x45, 0]);
const IPV4_ANY: u32 = u32::from_ne_bytes([0x08, 0x00, 0x40, 0]);
const PLAIN: u32 = u32::from_ne_bytes([0xFF, 0xFF, 0xFF, 0]);
const ANY: u32 = u32::from_ne_bytes([0xFF, 0xFF, 0xF0, 0]);

const MORE_FRAGMENTS: u16 = 0x2000u16.to_be();
const FRAGMENT_OFFSET: u16 = 0x1FFFu16.to_be();
const TCP_FLAGS: usize = 13;

/// A whole IPv4 packet with a whole TCP or UDP header.
#[derive(Clone, Copy)]
pub struct Parsed {
    /// Source and destination.
    pub key: Key,
    /// The IPv4 header. Void when the start of the frame has moved.
    pub ip: *mut Ipv4Hdr,
    /// Where the TCP or UDP header begins, from the start of the frame.
    pub transport: usize,
    /// The IP packet's length in bytes.
    pub length: u16,
    /// TCP's flags; of UDP, those of a segment without news.
    pub flags: u8,
}

/// What came in.
pub enum Incoming {
    /// Something that is never balanced, or that is not what it says; also the later
    /// fragments of a packet, which have no ports.
    Other,
    /// The first fragment of a packet.
    Fragment(Key),
    /// What may be balanced.
    Packet(Parsed),
}

/// Reads the headers. What is malformed is left to the kernel's own stack to judge.
#[inline(always)]
pub fn parse(packet: Packet) -> Incoming {
    match headers(packet) {
        Some(incoming) => incoming,
        None => Incoming::Other,
    }
}

#[inline(always)]
fn headers(packet: Packet) -> Option<Incoming> {
    let frame = packet.at::<Ipv4Frame>(0)?;
    // SAFETY: `at` gives pointers to whole headers within the packet, which need no alignment.
    let (kind, version_and_length) = unsafe {
        let ethertype = &raw const (*frame).ethertype;
        (load::<u32>(ethertype), (*frame).ip.vihl)
    };
    if kind & PLAIN == IPV4_PLAIN {
        return transport(packet, frame, Ipv4Hdr::LEN);
    }
    let header = usize::from(version_and_length & 0x0F) * 4;
    if kind & ANY == IPV4_ANY && header > Ipv4Hdr::LEN {
        return transport(packet, frame, header);
    }
    None
}

/// What follows an IPv4 header of this many bytes. Where the compiler knows how many, it is
/// the shortest way through the program.
#[inline(always)]
fn transport(packet: Packet, frame: *mut Ipv4Frame, header: usize) -> Option<Incoming> {
    // SAFETY: as above.
    let (ip, length, fragment, protocol, addresses) = unsafe {
        let ip = &raw mut (*frame).ip;
        (
            ip,
            u16::from_be(load::<u16>(&raw const (*ip).tot_len)),
            load::<u16>(&raw const (*ip).frags),
            (*ip).proto,
            // Source and destination, as they stand in a key.
            load::<u64>(&raw const (*ip).src_addr),
        )
    };
    if packet.length() < IP + usize::from(length) || fragment & FRAGMENT_OFFSET != 0 {
        return None;
    }
    let transport = IP + header;
    let flags = match protocol {
        TCP => {
            if usize::from(length) < header + TcpHdr::LEN {
                return None;
            }
            let tcp = packet.behind::<[u8; TcpHdr::LEN]>(transport)?;
            // SAFETY: as above.
            unsafe { (*tcp)[TCP_FLAGS] }
        }
        UDP => {
            if usize::from(length) < header + UdpHdr::LEN {
                return None;
            }
            tcp::ACK
        }
        _ => return None,
    };
    let ports = packet.behind::<u32>(transport)?;
    // SAFETY: as above.
    let ports = u64::from(unsafe { *ports });
    let key = Key {
        addresses,
        ports: ports | u64::from(protocol) << 32,
    };
    if fragment & MORE_FRAGMENTS != 0 {
        return Some(Incoming::Fragment(key));
    }
    Some(Incoming::Packet(Parsed {
        key,
        ip,
        transport,
        length,
        flags,
    }))
}

/// `EthHdr` spells the type as an enum, which not every frame fits.
#[repr(C, packed)]
struct Ipv4Frame {
    addresses: [u8; 12],
    ethertype: u16,
    ip: Ipv4Hdr,
}

/// Reads a field in one instruction, in wire order.
///
/// # Safety
/// The field must hold as many bytes as `T`.
#[inline(always)]
pub unsafe fn load<T: Copy>(field: *const impl Sized) -> T {
    // SAFETY: the caller says that the field is there; BPF loads need no alignment.
    unsafe { *field.cast::<T>() }
}

/// Writes a field in one instruction, in wire order.
///
/// # Safety
/// The field must hold as many bytes as `T`.
#[inline(always)]
pub unsafe fn store<T: Copy>(field: *mut impl Sized, value: T) {
    // SAFETY: as for `load`.
    unsafe { *field.cast::<T>() = value }
}
