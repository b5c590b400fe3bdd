//! Captures what crosses an interface, independently of the director and of the programs under
//! test.
//!
//! On a machine's own interface, packets are captured one by one, as they are sent and received.
//! The interface of the switch at the other end of the cable also shows what the director sends by
//! XDP. But there, TCP segments that come from a machine are merged: do not count those there.

use std::{
    mem,
    net::Ipv4Addr,
    ops::Add,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result, ensure};
use etherparse::{ArpOperation, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use nix::{errno::Errno, sys::socket::setsockopt, sys::socket::sockopt::RcvBufForce};

use crate::namespace::Namespace;

/// Bytes captured of each frame: enough for the headers, which are all that is read.
const SNAP: usize = 256;
const BUFFER: usize = 64 << 20;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    seen: Vec<Packet>,
}

/// A packet of IPv4 or ARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// True if it was sent by the interface, false if it was received.
    pub sent: bool,
    /// The source MAC address.
    pub mac: [u8; 6],
    /// What it is.
    pub kind: Kind,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 packet.
    Ip(Ip),
    /// An ARP reply or announcement: the sender has this address.
    ArpReply(Ipv4Addr),
    /// An ARP request: who has this address?
    ArpRequest(Ipv4Addr),
}

/// An IPv4 packet. Ports are 0 for protocols without ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Number of the transport protocol.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Destination port.
    pub destination_port: u16,
    /// Time to live.
    pub ttl: u8,
    /// The IP header's total length, which IPVS counts as bytes.
    pub bytes: u64,
}

/// How many packets, and their bytes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Bytes, by the IP header's total length.
    pub bytes: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Capture {
    /// Starts a capture on an interface.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        let socket = namespace
            .inside(|| packet_socket(interface))
            .with_context(|| format!("capture on {interface} in {}", namespace.name()))?;
        setsockopt(&socket, RcvBufForce, &BUFFER)?;
        Ok(Self {
            socket,
            seen: Vec::new(),
        })
    }

    /// All packets captured until now.
    pub fn packets(&mut self) -> Result<&[Packet]> {
        while let Some(packet) = self.receive()? {
            self.seen.extend(packet);
        }
        let lost = self.lost()?;
        ensure!(lost == 0, "the capture missed {lost} packets");
        Ok(&self.seen)
    }

    /// Counts the IPv4 packets that `of_interest` accepts. It gets whether the packet was sent, and
    /// the packet.
    pub fn tally(&mut self, of_interest: impl Fn(bool, &Ip) -> bool) -> Result<Tally> {
        let packets = self.packets()?.iter();
        Ok(packets
            .filter_map(|packet| match packet.kind {
                Kind::Ip(ip) if of_interest(packet.sent, &ip) => Some(ip.bytes),
                _ => None,
            })
            .fold(Tally::default(), |sum, bytes| Tally {
                packets: sum.packets + 1,
                bytes: sum.bytes + bytes,
            }))
    }

    /// The next frame. `None` if there is none; `Some(None)` if it is neither IPv4 nor ARP.
    fn receive(&self) -> Result<Option<Option<Packet>>> {
        let mut frame = [0u8; SNAP];
        // SAFETY: `sockaddr_ll` is plain data, for which zeroes are a value.
        let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut from_length = mem::size_of_val(&from) as libc::socklen_t;
        // SAFETY: the kernel writes at most SNAP bytes of frame and `from_length` bytes of
        // address, and both live until the call returns.
        let length = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                frame.as_mut_ptr().cast(),
                SNAP,
                libc::MSG_DONTWAIT,
                (&raw mut from).cast(),
                &raw mut from_length,
            )
        };
        match Errno::result(length) {
            Ok(length) => {
                let frame = frame.get(..usize::try_from(length)?).unwrap_or(&frame);
                let sent = from.sll_pkttype == libc::PACKET_OUTGOING;
                Ok(Some(read(frame, sent)))
            }
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error).context("receive from a capture"),
        }
    }

    fn lost(&self) -> Result<u32> {
        // SAFETY: `tpacket_stats` is plain data, for which zeroes are a value.
        let mut stats: libc::tpacket_stats = unsafe { mem::zeroed() };
        let mut length = mem::size_of_val(&stats) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `stats`.
        Errno::result(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut length,
            )
        })?;
        Ok(stats.tp_drops)
    }
}

fn packet_socket(interface: &str) -> Result<OwnedFd> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    // A packet socket without a protocol receives nothing. `bind` below sets protocol and interface
    // at the same time.
    // SAFETY: no memory is passed.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    let socket = Errno::result(socket)?;
    // SAFETY: the descriptor was just made, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: `sockaddr_ll` is plain data, for which zeroes are a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    // A socket for one protocol would not get the packets that this machine sends.
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.try_into()?;
    // SAFETY: the address is a `sockaddr_ll` of that length.
    Errno::result(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of_val(&address) as libc::socklen_t,
        )
    })?;
    Ok(socket)
}

fn read(frame: &[u8], sent: bool) -> Option<Packet> {
    let mac = frame.get(6..12)?.try_into().ok()?;
    // A frame longer than SNAP is cut off: lengths in its headers may point beyond its end.
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let kind = match sliced.net? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let (source_port, destination_port) = match sliced.transport {
                Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
                Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
                _ => (0, 0),
            };
            Kind::Ip(Ip {
                protocol: header.protocol().0,
                source: header.source_addr(),
                source_port,
                destination: header.destination_addr(),
                destination_port,
                ttl: header.ttl(),
                bytes: header.total_len().into(),
            })
        }
        LaxNetSlice::Arp(arp) => {
            let address = |bytes: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?));
            let sender = address(arp.sender_protocol_addr())?;
            let target = address(arp.target_protocol_addr())?;
            let request = arp.operation() == ArpOperation::REQUEST;
            if request && sender != target {
                Kind::ArpRequest(target)
            } else {
                Kind::ArpReply(sender)
            }
        }
        LaxNetSlice::Ipv6(_) => return None,
    };
    Some(Packet { sent, mac, kind })
}
