//! TCP and UDP headers, as far as a balancer reads them.

use core::mem::offset_of;

use lb_common::{
    protocol::{TCP, UDP},
    state::tcp,
};
use network_types::{tcp::TcpHdr, udp::UdpHdr};

use super::packet::{Field, Header, Packet};

/// What TCP's and UDP's headers begin with.
#[repr(C)]
pub struct Ports {
    source: u16,
    destination: u16,
}

impl Ports {
    /// Source and destination, as in a [`Key`](lb_common::layout::key::Key).
    pub const BOTH: Field<Self, u32> = Field::at(0);
    /// The port that the packet comes from.
    pub const SOURCE: Field<Self, u16> = Field::at(offset_of!(Self, source));
    /// The port that the packet goes to.
    pub const DESTINATION: Field<Self, u16> = Field::at(offset_of!(Self, destination));
}

/// Where a whole TCP header begins with its ports.
pub const PORTS_OF_TCP: Field<TcpHdr, Ports> = Field::at(0);
const PORTS_OF_UDP: Field<UdpHdr, Ports> = Field::at(0);

/// The byte with SYN, FIN, RST and ACK.
pub const TCP_FLAGS: Field<TcpHdr, u8> = Field::at(offset_of!(TcpHdr, _bitfield_1) + 1);

/// UDP has no flags: its packets count as segments that leave a connection's state as it is.
pub const UDP_FLAGS: u8 = tcp::ACK;

/// Reads the header of this protocol that begins `offset` bytes into the frame, in `room` bytes
/// of the IP packet: ports and flags. `None` if it is not whole, or of another protocol.
#[inline(always)]
pub fn read(
    packet: Packet,
    protocol: u8,
    offset: usize,
    room: usize,
) -> Option<(Header<Ports>, u8)> {
    match protocol {
        TCP if room >= TcpHdr::LEN => {
            let tcp = packet.behind::<TcpHdr>(offset)?;
            Some((tcp.inner(PORTS_OF_TCP), tcp.get(TCP_FLAGS)))
        }
        UDP if room >= UdpHdr::LEN => {
            let udp = packet.behind::<UdpHdr>(offset)?;
            Some((udp.inner(PORTS_OF_UDP), UDP_FLAGS))
        }
        _ => None,
    }
}

/// False if a header's own length is wrong, in an IP packet with this much payload.
#[inline(always)]
pub fn is_whole(packet: Packet, protocol: u8, ports: Header<Ports>, payload: usize) -> bool {
    let (least, length) = if protocol == TCP {
        let Some(words) = packet.part::<Ports, u8>(ports, DATA_OFFSET) else {
            return false;
        };
        let words = words.value() >> 4;
        (TcpHdr::LEN, usize::from(words) * 4)
    } else {
        let Some(length) = packet.part::<Ports, u16>(ports, offset_of!(UdpHdr, len)) else {
            return false;
        };
        (UdpHdr::LEN, usize::from(u16::from_be(length.value())))
    };
    (least..=payload).contains(&length)
}

/// Where a TCP header says how long it is: the upper half of this byte, in words of four bytes.
const DATA_OFFSET: usize = offset_of!(TcpHdr, _bitfield_1);

/// The checksum of the header with these ports.
#[inline(always)]
pub fn checksum(packet: Packet, protocol: u8, ports: Header<Ports>) -> Option<Header<Checksum>> {
    let offset = if protocol == UDP {
        offset_of!(UdpHdr, check)
    } else {
        offset_of!(TcpHdr, check)
    };
    packet.part(ports, offset)
}

/// TCP's or UDP's checksum.
#[repr(transparent)]
pub struct Checksum(u16);

impl Checksum {
    /// The checksum as a field.
    pub const VALUE: Field<Self, u16> = Field::at(offset_of!(Self, 0));
}
