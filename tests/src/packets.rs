//! Ethernet frames with IPv4 and TCP or UDP in them, written and read by etherparse, which
//! knows nothing of the code under test.
//!
//! Nothing is ever updated here: [`Packet::frame`] computes every length and checksum from
//! scratch, so that a frame which a program rewrote can be compared with one that was
//! written that way in the first place.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail, ensure};
use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, IpNumber, Ipv4Header, Ipv4Options,
    TcpHeader, TcpOptions, UdpHeader,
};

/// The MAC address of the director's interface, to which new packets are addressed.
pub const DIRECTOR: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The MAC address that packets from clients come from.
pub const ROUTER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// A virtual service's address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
/// A client.
pub const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 2), 40_000);

/// TCP flag.
pub const FIN: u8 = 0x01;
/// TCP flag.
pub const SYN: u8 = 0x02;
/// TCP flag.
pub const RST: u8 = 0x04;
/// TCP flag.
pub const PSH: u8 = 0x08;
/// TCP flag.
pub const ACK: u8 = 0x10;

/// Bytes before the IPv4 header.
pub const ETHERNET: usize = Ethernet2Header::LEN;
/// Bytes of an IPv4 header without options.
pub const IPV4: usize = Ipv4Header::MIN_LEN;

/// What follows the IPv4 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP. The checksum field is not looked at.
    Tcp(TcpHeader),
    /// UDP. Length and checksum fields are not looked at.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Whether there is a checksum.
        checked: bool,
    },
}

/// A packet as plain values. [`Packet::frame`] computes lengths and checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sends the frame.
    pub from: [u8; 6],
    /// Whom the frame is for.
    pub to: [u8; 6],
    /// The IPv4 header. Length and checksum fields are not looked at.
    pub ip: Ipv4Header,
    /// The header after that.
    pub transport: Transport,
    /// The data.
    pub payload: Vec<u8>,
    /// What is in the frame after the IP packet.
    pub padding: Vec<u8>,
}

impl Packet {
    /// A TCP segment on its way from a client to the director.
    #[must_use]
    pub fn tcp(source: SocketAddrV4, destination: SocketAddrV4, flags: u8) -> Self {
        let mut header = TcpHeader::new(source.port(), destination.port(), 0x0102_0304, 64_240);
        header.fin = flags & FIN != 0;
        header.syn = flags & SYN != 0;
        header.rst = flags & RST != 0;
        header.psh = flags & PSH != 0;
        header.ack = flags & ACK != 0;
        Self::ipv4(source, destination, Transport::Tcp(header))
    }

    /// A UDP datagram on its way from a client to the director.
    #[must_use]
    pub fn udp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let transport = Transport::Udp {
            source: source.port(),
            destination: destination.port(),
            checked: true,
        };
        Self::ipv4(source, destination, transport).payload(b"question")
    }

    fn ipv4(source: SocketAddrV4, destination: SocketAddrV4, transport: Transport) -> Self {
        let ip = Ipv4Header {
            identification: 0x1234,
            time_to_live: 64,
            protocol: transport.protocol(),
            source: source.ip().octets(),
            destination: destination.ip().octets(),
            ..Ipv4Header::default()
        };
        Self {
            from: ROUTER,
            to: DIRECTOR,
            ip,
            transport,
            payload: Vec::new(),
            padding: Vec::new(),
        }
    }

    /// With other data.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// With bytes after the IP packet.
    #[must_use]
    pub fn padding(mut self, padding: &[u8]) -> Self {
        self.padding = padding.to_vec();
        self
    }

    /// In a frame between these stations.
    #[must_use]
    pub fn hop(mut self, from: [u8; 6], to: [u8; 6]) -> Self {
        self.from = from;
        self.to = to;
        self
    }

    /// With another time to live.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ip.time_to_live = ttl;
        self
    }

    /// After one more hop: its time to live is less by one.
    #[must_use]
    pub fn aged(mut self) -> Self {
        self.ip.time_to_live -= 1;
        self
    }

    /// With IPv4 options: at most 40 bytes, a multiple of 4.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.ip.options = Ipv4Options::try_from(options).expect("a multiple of 4 up to 40");
        self
    }

    /// With TCP options: at most 40 bytes, a multiple of 4. Of UDP, nothing changes.
    #[must_use]
    pub fn tcp_options(mut self, options: &[u8]) -> Self {
        if let Transport::Tcp(header) = &mut self.transport {
            header.options = TcpOptions::try_from_slice(options).expect("at most 40 bytes");
        }
        self
    }

    /// Without a UDP checksum. Of TCP, nothing changes.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        if let Transport::Udp { checked, .. } = &mut self.transport {
            *checked = false;
        }
        self
    }

    /// From another address and port.
    #[must_use]
    pub fn sent_from(mut self, source: SocketAddrV4) -> Self {
        self.ip.source = source.ip().octets();
        *self.transport.ports_mut().0 = source.port();
        self
    }

    /// To another address and port.
    #[must_use]
    pub fn sent_to(mut self, destination: SocketAddrV4) -> Self {
        self.ip.destination = destination.ip().octets();
        *self.transport.ports_mut().1 = destination.port();
        self
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip.source.into(), self.transport.ports().0)
    }

    /// Where it goes to.
    #[must_use]
    pub fn destination(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip.destination.into(), self.transport.ports().1)
    }

    /// Bytes of the IP packet.
    #[must_use]
    pub fn length(&self) -> usize {
        self.ip.header_len() + self.transport.length() + self.payload.len()
    }

    /// The packet as a frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut ip = self.ip.clone();
        ip.set_payload_len(self.transport.length() + self.payload.len())
            .expect("an IPv4 packet of at most 65535 bytes");
        ip.header_checksum = ip.calc_header_checksum();
        let mut frame = ethernet(self.from, self.to, EtherType::IPV4);
        frame.extend_from_slice(&ip.to_bytes());
        frame.extend_from_slice(&self.transport.bytes(&ip, &self.payload));
        frame.extend_from_slice(&self.payload);
        frame.extend_from_slice(&self.padding);
        frame
    }

    /// What a frame says. Checksums are correct if, and only if, [`frame`](Self::frame)
    /// gives the same bytes again.
    pub fn read(frame: &[u8]) -> Result<Self> {
        let (ethernet, rest) = Ethernet2Header::from_slice(frame).context("Ethernet header")?;
        ensure!(ethernet.ether_type == EtherType::IPV4, "not IPv4");
        let (mut ip, after_ip) = Ipv4Header::from_slice(rest).context("IPv4 header")?;
        ensure!(!ip.is_fragmenting_payload(), "a fragment");
        let length = usize::from(ip.payload_len().context("IPv4 length")?);
        ensure!(length <= after_ip.len(), "shorter than it says");
        let (data, padding) = after_ip.split_at(length);
        let (transport, payload) = match ip.protocol {
            IpNumber::TCP => {
                let (mut header, payload) = TcpHeader::from_slice(data).context("TCP header")?;
                header.checksum = 0;
                (Transport::Tcp(header), payload)
            }
            IpNumber::UDP => {
                let (header, payload) = UdpHeader::from_slice(data).context("UDP header")?;
                let transport = Transport::Udp {
                    source: header.source_port,
                    destination: header.destination_port,
                    checked: header.checksum != 0,
                };
                (transport, payload)
            }
            other => bail!("neither TCP nor UDP but {other:?}"),
        };
        ip.total_len = 0;
        ip.header_checksum = 0;
        Ok(Self {
            from: ethernet.source,
            to: ethernet.destination,
            ip,
            transport,
            payload: payload.to_vec(),
            padding: padding.to_vec(),
        })
    }
}

impl Transport {
    fn protocol(&self) -> IpNumber {
        match self {
            Self::Tcp(_) => IpNumber::TCP,
            Self::Udp { .. } => IpNumber::UDP,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Tcp(header) => header.header_len(),
            Self::Udp { .. } => UdpHeader::LEN,
        }
    }

    fn ports(&self) -> (u16, u16) {
        match *self {
            Self::Tcp(ref header) => (header.source_port, header.destination_port),
            Self::Udp {
                source,
                destination,
                ..
            } => (source, destination),
        }
    }

    fn ports_mut(&mut self) -> (&mut u16, &mut u16) {
        match self {
            Self::Tcp(header) => (&mut header.source_port, &mut header.destination_port),
            Self::Udp {
                source,
                destination,
                ..
            } => (source, destination),
        }
    }

    fn bytes(&self, ip: &Ipv4Header, payload: &[u8]) -> Vec<u8> {
        const FITS: &str = "what fits into an IPv4 packet";
        match *self {
            Self::Tcp(ref header) => {
                let mut header = header.clone();
                header.checksum = header.calc_checksum_ipv4(ip, payload).expect(FITS);
                header.to_bytes().to_vec()
            }
            Self::Udp {
                source,
                destination,
                checked,
            } => {
                let header = if checked {
                    UdpHeader::with_ipv4_checksum(source, destination, ip, payload)
                } else {
                    UdpHeader::without_ipv4_checksum(source, destination, payload.len())
                };
                header.expect(FITS).to_bytes().to_vec()
            }
        }
    }
}

/// An Ethernet header.
#[must_use]
pub fn ethernet(from: [u8; 6], to: [u8; 6], ether_type: EtherType) -> Vec<u8> {
    let header = Ethernet2Header {
        source: from,
        destination: to,
        ether_type,
    };
    header.to_bytes().to_vec()
}

/// The ICMP error (RFC 792) that the destination of the packet in this frame sends about it,
/// back the way it came. It quotes the packet's header and eight bytes more.
#[must_use]
pub fn icmp_error(about: &[u8], kind: Icmpv4Type) -> Vec<u8> {
    let (header, _) = Ipv4Header::from_slice(&about[ETHERNET..]).expect("an IPv4 packet");
    icmp_error_from(header.destination.into(), about, kind)
}

/// The same from another host on the way.
#[must_use]
pub fn icmp_error_from(sender: Ipv4Addr, about: &[u8], kind: Icmpv4Type) -> Vec<u8> {
    let (hop, packet) = Ethernet2Header::from_slice(about).expect("an Ethernet frame");
    let (header, _) = Ipv4Header::from_slice(packet).expect("an IPv4 packet");
    let quoted = &packet[..header.header_len() + 8];
    let icmp = Icmpv4Header::with_checksum(kind, quoted);
    let mut ip = Ipv4Header {
        time_to_live: 64,
        protocol: IpNumber::ICMP,
        source: sender.octets(),
        destination: header.source,
        ..Ipv4Header::default()
    };
    ip.set_payload_len(icmp.header_len() + quoted.len())
        .expect("a small packet");
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = ethernet(hop.destination, hop.source, EtherType::IPV4);
    frame.extend_from_slice(&ip.to_bytes());
    frame.extend_from_slice(&icmp.to_bytes());
    frame.extend_from_slice(quoted);
    frame
}

/// A frame whose IPv4 header was changed by hand, with the checksum that it should have now.
#[must_use]
pub fn with_header_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    let end = ETHERNET + usize::from(frame[ETHERNET] & 0x0F) * 4;
    frame[ETHERNET + 10..ETHERNET + 12].fill(0);
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&frame[ETHERNET..end])
        .ones_complement();
    frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_ne_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: SocketAddrV4 = SocketAddrV4::new(VIP, 80);

    #[test]
    fn what_is_written_can_be_read_back() {
        let packets = [
            Packet::tcp(CLIENT, SERVICE, SYN).options(&[1; 8]),
            Packet::udp(CLIENT, SERVICE)
                .payload(b"odd")
                .padding(&[7; 9]),
            Packet::udp(CLIENT, SERVICE).unchecked(),
        ];
        for packet in packets {
            assert_eq!(Packet::read(&packet.frame()).unwrap(), packet);
        }
    }

    #[test]
    fn a_frame_is_what_the_rfcs_say_byte_for_byte() {
        let frame = Packet::udp(CLIENT, SERVICE).payload(b"hi").frame();
        // The checksums were computed without etherparse.
        let expected = [
            0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
            0x45, 0, 0, 30, 0x12, 0x34, 0x40, 0, 64, 17, 0x0B, 0x87, // IPv4
            10, 1, 0, 2, 10, 9, 9, 9, // its addresses
            0x9C, 0x40, 0, 80, 0, 10, 0xDD, 0xCB, b'h', b'i', // UDP
        ];
        assert_eq!(frame[..], expected);
    }
}
