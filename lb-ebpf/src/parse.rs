//! Ethernet, IPv4, TCP and UDP: what a packet says of itself.

use lb_common::{
    connection::{Key, TCP, UDP},
    tcp,
};
use network_types::{eth::EthHdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use crate::{packet::Packet, verifier};

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

/// Of the four bytes from the fragment's place on: that, and the protocol.
const FRAGMENTED: u32 = u32::from_ne_bytes([0x3F, 0xFF, 0, 0]);

/// A whole IPv4 packet with a whole TCP or UDP header.
#[derive(Clone, Copy)]
pub struct Parsed {
    /// Source and destination.
    pub key: Key,
    /// The IPv4 header. Void, as the next, when the start of the frame has moved.
    pub ip: *mut Ipv4Hdr,
    /// The TCP or UDP header.
    pub transport: *mut u8,
    /// The IP packet's length in bytes.
    pub length: u16,
    /// TCP's flags; of UDP, those of a segment without news.
    pub flags: u8,
    /// Index of the interface that the packet came in by.
    pub interface: u32,
}

impl Parsed {
    /// The start of the frame.
    #[inline(always)]
    pub fn frame(&self) -> *mut u8 {
        self.ip.cast::<u8>().wrapping_sub(IP)
    }
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

/// Reads the headers where they are of the usual kind: a whole packet without IP options, in a
/// frame with room for a TCP header. For the others there is [`parse_unusual`].
#[inline(always)]
pub fn usual(packet: Packet) -> Option<Parsed> {
    let frame = packet.at::<TcpFrame>(0)?;
    // SAFETY: `at` gives pointers to whole headers within the packet, which need no alignment.
    let (ip, kind, fragment_and_protocol, length, addresses) = unsafe {
        let ip = &raw mut (*frame).ip;
        (
            ip,
            load::<u32>(&raw const (*frame).ethertype),
            load::<u32>(&raw const (*ip).frags),
            u16::from_be(load::<u16>(&raw const (*ip).tot_len)),
            load::<u64>(&raw const (*ip).src_addr),
        )
    };
    if kind & PLAIN != IPV4_PLAIN || fragment_and_protocol & FRAGMENTED != 0 {
        return None;
    }
    let protocol = (fragment_and_protocol >> 24) as u8;
    if packet.length() - IP < usize::from(length) {
        return None;
    }
    let flags = if protocol == TCP {
        if usize::from(length) < Ipv4Hdr::LEN + TcpHdr::LEN {
            return None;
        }
        // SAFETY: as above.
        unsafe { (*frame).tcp[TCP_FLAGS] }
    } else {
        if protocol != UDP || usize::from(length) < Ipv4Hdr::LEN + UdpHdr::LEN {
            return None;
        }
        tcp::ACK
    };
    // SAFETY: as above.
    let (transport, ports) = unsafe {
        let transport = (&raw mut (*frame).tcp).cast::<u8>();
        (transport, load::<u32>(transport))
    };
    Some(Parsed {
        key: Key {
            addresses,
            // Put together here, or its parts would have to be kept until they are needed.
            ports: verifier::opaque(u64::from(ports) | u64::from(protocol) << 32),
        },
        ip,
        transport,
        length,
        flags,
        interface: packet.interface(),
    })
}

/// Reads the headers. What is malformed is left to the kernel's own stack to judge.
#[inline(always)]
pub fn parse(packet: Packet) -> Incoming {
    match usual(packet) {
        Some(parsed) => Incoming::Packet(parsed),
        None => parse_unusual(packet),
    }
}

/// Likewise, after [`usual`] could not.
#[inline(always)]
pub fn parse_unusual(packet: Packet) -> Incoming {
    match headers(packet) {
        Some(incoming) => incoming,
        None => Incoming::Other,
    }
}

#[inline(always)]
fn headers(packet: Packet) -> Option<Incoming> {
    let frame = packet.at::<Ipv4Frame>(0)?;
    // SAFETY: as above.
    let (kind, version_and_length) = unsafe {
        let ethertype = &raw const (*frame).ethertype;
        (load::<u32>(ethertype), (*frame).ip.vihl)
    };
    let header = usize::from(version_and_length & 0x0F) * 4;
    if kind & ANY != IPV4_ANY || header < Ipv4Hdr::LEN {
        return None;
    }
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
    let offset = IP + header;
    let (transport, flags) = match protocol {
        TCP => {
            if usize::from(length) < header + TcpHdr::LEN {
                return None;
            }
            let tcp = packet.behind::<[u8; TcpHdr::LEN]>(offset)?;
            // SAFETY: as above.
            (tcp.cast::<u8>(), unsafe { (*tcp)[TCP_FLAGS] })
        }
        UDP => {
            if usize::from(length) < header + UdpHdr::LEN {
                return None;
            }
            let udp = packet.behind::<[u8; UdpHdr::LEN]>(offset)?;
            (udp.cast::<u8>(), tcp::ACK)
        }
        _ => return None,
    };
    // SAFETY: as above.
    let ports = u64::from(unsafe { load::<u32>(transport) });
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
        interface: packet.interface(),
    }))
}

/// `EthHdr` spells the type as an enum, which not every frame fits.
#[repr(C, packed)]
pub struct Ipv4Frame {
    addresses: [u8; 12],
    ethertype: u16,
    ip: Ipv4Hdr,
}

#[repr(C, packed)]
struct TcpFrame {
    addresses: [u8; 12],
    ethertype: u16,
    ip: Ipv4Hdr,
    tcp: [u8; TcpHdr::LEN],
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
