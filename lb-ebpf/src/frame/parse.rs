//! From a frame to a connection's key.

use core::mem::offset_of;

use lb_common::{
    layout::key::Key,
    protocol::{TCP, UDP},
};
use network_types::{eth::EthHdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{
    ipv4,
    link::Link,
    packet::{Field, Header, Packet},
    transport::{self, Ports},
};
use crate::machine::verifier;

/// A whole IPv4 packet with a whole TCP or UDP header.
#[derive(Clone, Copy)]
pub struct Parsed {
    /// Source and destination.
    pub key: Key,
    /// The link header.
    pub link: Link,
    /// The Ethernet header. This and the next two are void once the start of the frame has moved.
    pub ethernet: Header<EthHdr>,
    /// The IPv4 header.
    pub ip: Header<Ipv4Hdr>,
    /// The TCP or UDP header.
    pub ports: Header<Ports>,
    /// The IP packet's length in bytes.
    pub length: u16,
    /// TCP's flags; for UDP those of a segment that leaves a connection's state as it is.
    pub flags: u8,
    /// Index of the interface that received the packet.
    pub interface: u32,
}

/// What was received.
pub enum Incoming {
    /// A packet that is never balanced, or is malformed; also the later fragments of a packet,
    /// which have no ports.
    Other,
    /// The first fragment of a packet.
    Fragment(Key),
    /// A packet that may be balanced.
    Packet(Parsed),
}

/// Reads the headers of the usual packet: Ethernet without tags, IPv4 without options, not a
/// fragment, in a frame with room for a TCP header. For all others there is
/// [`parse_unusual`].
#[inline(always)]
pub fn usual(packet: Packet) -> Option<Parsed> {
    let frame = packet.at::<Usual>(0)?;
    let ip = frame.inner(Usual::IP);
    let tcp = frame.inner(Usual::TCP);
    let fragment_to_protocol = ip.get(ipv4::FRAGMENT_TO_PROTOCOL);
    let length = u16::from_be(ip.get(ipv4::LENGTH));
    let addresses = ip.get(ipv4::ADDRESSES);
    if frame.get(Usual::KIND) & Usual::KIND_MASK != Usual::IPV4_PLAIN
        || fragment_to_protocol & Usual::FRAGMENTED != 0
    {
        return None;
    }
    let protocol = (fragment_to_protocol >> 24) as u8;
    if packet.length() - Link::ETHERNET.length() < usize::from(length) {
        return None;
    }
    let flags = if protocol == TCP {
        if usize::from(length) < Ipv4Hdr::LEN + TcpHdr::LEN {
            return None;
        }
        tcp.get(transport::TCP_FLAGS)
    } else {
        if protocol != UDP || usize::from(length) < Ipv4Hdr::LEN + UdpHdr::LEN {
            return None;
        }
        transport::UDP_FLAGS
    };
    let ports = tcp.inner(transport::PORTS_OF_TCP);
    Some(Parsed {
        key: Key {
            addresses,
            // Composed here: otherwise the compiler keeps the parts in registers until they
            // are needed.
            ports: verifier::opaque(u64::from(ports.get(Ports::BOTH)) | u64::from(protocol) << 32),
        },
        link: Link::ETHERNET,
        ethernet: frame.inner(Usual::ETHERNET),
        ip,
        ports,
        length,
        flags,
        interface: packet.interface(),
    })
}

/// The headers of a usual packet, checked as one.
#[repr(C)]
struct Usual {
    ethernet: EthHdr,
    ip: Ipv4Hdr,
    tcp: TcpHdr,
}

impl Usual {
    const ETHERNET: Field<Self, EthHdr> = Field::at(offset_of!(Self, ethernet));
    const IP: Field<Self, Ipv4Hdr> = Field::at(offset_of!(Self, ip));
    const TCP: Field<Self, TcpHdr> = Field::at(offset_of!(Self, tcp));

    /// EtherType, IP version, header length and type of service.
    const KIND: Field<Self, u32> = Field::at(offset_of!(Self, ethernet.ether_type));
    const KIND_MASK: u32 = u32::from_ne_bytes([0xFF, 0xFF, 0xFF, 0]);
    const IPV4_PLAIN: u32 = u32::from_ne_bytes([0x08, 0x00, ipv4::PLAIN, 0]);

    /// The bits that a fragment has, of [`ipv4::FRAGMENT_TO_PROTOCOL`].
    const FRAGMENTED: u32 = u32::from_ne_bytes([0x3F, 0xFF, 0, 0]);
}

/// Reads the headers. Malformed packets are left to the kernel's own stack.
#[inline(always)]
pub fn parse(packet: Packet) -> Incoming {
    match usual(packet) {
        Some(parsed) => Incoming::Packet(parsed),
        None => parse_unusual(packet),
    }
}

/// Reads the headers that [`usual`] could not read.
#[inline(always)]
pub fn parse_unusual(packet: Packet) -> Incoming {
    headers(packet).unwrap_or(Incoming::Other)
}

#[inline(always)]
fn headers(packet: Packet) -> Option<Incoming> {
    let ethernet = packet.at::<EthHdr>(0)?;
    let link = Link::of(ethernet)?;
    let ip = packet.at::<Ipv4Hdr>(link.length())?;
    let version_and_length = ip.get(ipv4::VERSION_AND_LENGTH);
    let header = usize::from(version_and_length & 0x0F) * 4;
    if version_and_length & 0xF0 != ipv4::PLAIN & 0xF0 || header < Ipv4Hdr::LEN {
        return None;
    }
    let length = u16::from_be(ip.get(ipv4::LENGTH));
    let fragment = ip.get(ipv4::FRAGMENT);
    if packet.length() < link.length() + usize::from(length)
        || fragment & ipv4::FRAGMENT_OFFSET != 0
    {
        return None;
    }
    let protocol = ip.get(ipv4::PROTOCOL);
    let addresses = ip.get(ipv4::ADDRESSES);
    let room = usize::from(length).checked_sub(header)?;
    let (ports, flags) = transport::read(packet, protocol, link.length() + header, room)?;
    let key = Key {
        addresses,
        ports: u64::from(ports.get(Ports::BOTH)) | u64::from(protocol) << 32,
    };
    if fragment & ipv4::MORE_FRAGMENTS != 0 {
        return Some(Incoming::Fragment(key));
    }
    Some(Incoming::Packet(Parsed {
        key,
        link,
        ethernet,
        ip,
        ports,
        length,
        flags,
        interface: packet.interface(),
    }))
}
