//! Sending a packet on its way, by the server's forwarding method.
//!
//! Nothing is written to the packet before everything has been checked: see [`obstacle`].

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use lb_common::{
    checksum::{self, Delta},
    connection::{Reverse, UDP},
    drops::Drop,
    layout::Interface,
    server::{Method, SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE, Server},
};
use network_types::ip::Ipv4Hdr;

use crate::{
    packet::Packet,
    parse::{IP, Parsed, load, store},
    verdict::Verdict,
    verifier,
};

const ETHERTYPE_IPV4: u16 = 0x0800u16.to_be();
const DONT_FRAGMENT: u16 = 0x4000u16.to_be();
const IPIP: u8 = 4;
const VERSION_4_LENGTH_20: u8 = 0x45;
const ECN: u8 = 0b11;
const ECN_CAPABLE: u8 = 0b10;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// Sends a client's packet to its server.
#[inline(always)]
pub fn to_server(packet: Packet, parsed: &Parsed, server: &Server) -> Verdict {
    let way = Way::of(server);
    if !matches!(way, Way::DR | Way::NAT | Way::TUN) {
        return unready(server);
    }
    match obstacle(parsed, server, way) {
        Some(verdict) => verdict,
        None => send(packet, parsed, server, way),
    }
}

/// How a server's packets go: its method and flags, compared as one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Way(u16);

impl Way {
    /// DR, where the server is ready.
    pub const DR: Self = Self::ready(Method::Dr);
    /// NAT, likewise.
    pub const NAT: Self = Self::ready(Method::Nat);
    /// TUN, likewise.
    pub const TUN: Self = Self::ready(Method::Tun);

    const fn ready(method: Method) -> Self {
        Self(method as u16 | ((SERVER_AVAILABLE | SERVER_REACHABLE) as u16) << 8)
    }

    /// The same. The compiler takes it for another, and does not make one question of those that
    /// are asked before and after.
    #[inline(always)]
    pub fn once_more(self) -> Self {
        Self(verifier::opaque(u64::from(self.0)) as u16)
    }

    /// As the server is: one of those above, or not ready.
    #[inline(always)]
    pub fn of(server: &Server) -> Self {
        Self(u16::from(server.method) | u16::from(server.flags) << 8)
    }
}

/// What becomes of a client's packet that must not go this way to its server.
#[inline(always)]
pub fn obstacle(parsed: &Parsed, server: &Server, way: Way) -> Option<Verdict> {
    let room = match way {
        Way::TUN => server.mtu - Ipv4Hdr::LEN as u16,
        _ => server.mtu,
    };
    if parsed.length > room {
        return Some(Verdict::too_big(room));
    }
    // SAFETY: the header that was parsed.
    if unsafe { (*parsed.ip).ttl } <= 1 {
        return Some(Verdict::drop(Drop::TtlExpired));
    }
    None
}

#[inline(always)]
fn unready(server: &Server) -> Verdict {
    if server.flags & SERVER_AVAILABLE == 0 {
        Verdict::drop(Drop::ServerGone)
    } else if server.flags & SERVER_LOCAL != 0 {
        Verdict::PASS
    } else {
        Verdict::drop(Drop::NextHopUnknown)
    }
}

/// Sends a packet that has no [`obstacle`].
#[inline(always)]
pub fn send(packet: Packet, parsed: &Parsed, server: &Server, way: Way) -> Verdict {
    let result = match way {
        Way::DR => {
            direct(parsed, server);
            Ok(())
        }
        Way::NAT => translate(packet, parsed, server),
        _ => tunnel(packet, parsed, server),
    };
    match result {
        Ok(()) => leave(parsed, server.interface),
        Err(reason) => Verdict::drop(reason),
    }
}

/// XDP_TX is the cheaper way, where it is one.
#[inline(always)]
fn leave(parsed: &Parsed, interface: u32) -> Verdict {
    if interface == parsed.interface {
        Verdict::TRANSMIT
    } else {
        Verdict::redirect(interface)
    }
}

/// DR: the packet as it is, to the server's MAC address.
#[inline(always)]
fn direct(parsed: &Parsed, server: &Server) {
    decrement_ttl(parsed.ip);
    address_frame(parsed.frame(), &server.ethernet);
}

/// NAT: to the server's address and port.
#[inline(always)]
fn translate(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    let ip = parsed.ip;
    let checksum = checksum(packet, parsed)?;
    decrement_ttl(ip);
    let addresses = Delta::ZERO.long(parsed.key.destination(), server.address);
    let ports = addresses.word(parsed.key.destination_port(), server.port);
    // SAFETY: the headers that were parsed.
    unsafe {
        rewrite_address(&raw mut (*ip).dst_addr, server.address, ip, addresses);
        *parsed.transport.add(2).cast::<u16>() = server.port;
        rewrite_checksum(checksum, parsed, ports);
    }
    address_frame(parsed.frame(), &server.ethernet);
    Ok(())
}

/// NAT, the way back: from the service's address and port.
#[inline(always)]
pub fn to_client(
    packet: Packet,
    parsed: &Parsed,
    server: &Server,
    route: Reverse,
    interface: &Interface,
) -> Verdict {
    let ip = parsed.ip;
    // SAFETY: the header that was parsed.
    if unsafe { (*ip).ttl } <= 1 {
        return Verdict::drop(Drop::TtlExpired);
    }
    let Ok(checksum) = checksum(packet, parsed) else {
        return Verdict::drop(Drop::Inconsistent);
    };
    decrement_ttl(ip);
    let addresses = Delta::ZERO.long(parsed.key.source(), server.service_address);
    let ports = addresses.word(parsed.key.source_port(), server.service_port);
    // SAFETY: the headers that were parsed.
    unsafe {
        rewrite_address(
            &raw mut (*ip).src_addr,
            server.service_address,
            ip,
            addresses,
        );
        *parsed.transport.cast::<u16>() = server.service_port;
        rewrite_checksum(checksum, parsed, ports);
    }
    let [a, b, c, d, e, f] = route.next_hop;
    let [g, h, i, j, k, l] = interface.mac;
    address_frame(
        parsed.frame(),
        &[
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
        ],
    );
    leave(parsed, interface.index)
}

/// TUN: inside another IP packet (RFC 2003). Like IPVS with `pmtu_disc=1`: the outer header
/// has the inner one's time to live after the hop, its DSCP and its don't-fragment bit.
#[inline(always)]
fn tunnel(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    let length = parsed.length + Ipv4Hdr::LEN as u16;
    let inner = parsed.ip;
    decrement_ttl(inner);
    // SAFETY: the header that was parsed.
    let (tos, ttl, fragment) = unsafe {
        (
            (*inner).tos,
            (*inner).ttl,
            load::<u16>(&raw const (*inner).frags),
        )
    };
    let fragment = fragment & DONT_FRAGMENT;
    // RFC 3168, 9.1.1: what already met congestion is not marked twice.
    let ecn = if tos & ECN == ECN {
        ECN_CAPABLE
    } else {
        tos & ECN
    };
    let tos = tos & !ECN | ecn;
    // The identification matters to those who may fragment only (RFC 6864).
    let id = if fragment == 0 {
        // SAFETY: a helper without preconditions.
        unsafe { bpf_get_prandom_u32() as u16 }
    } else {
        0
    };
    let source = server.tunnel_source;
    let destination = server.address;
    let checksum = checksum::of_words(&[
        u16::from_ne_bytes([VERSION_4_LENGTH_20, tos]),
        length.to_be(),
        id,
        fragment,
        u16::from_ne_bytes([ttl, IPIP]),
        source as u16,
        (source >> 16) as u16,
        destination as u16,
        (destination >> 16) as u16,
    ]);
    if !packet.move_start(-(Ipv4Hdr::LEN as i32)) {
        return Err(Drop::NoHeadroom);
    }
    let outer = packet.at::<Ipv4Hdr>(IP).ok_or(Drop::Inconsistent)?;
    // SAFETY: as above.
    unsafe {
        (*outer).vihl = VERSION_4_LENGTH_20;
        (*outer).tos = tos;
        store(&raw mut (*outer).tot_len, length.to_be());
        store(&raw mut (*outer).id, id);
        store(&raw mut (*outer).frags, fragment);
        (*outer).ttl = ttl;
        (*outer).proto = IPIP;
        store(&raw mut (*outer).check, checksum);
        store(&raw mut (*outer).src_addr, source);
        store(&raw mut (*outer).dst_addr, destination);
    }
    let frame = outer.cast::<u8>().wrapping_sub(IP);
    address_frame(frame, &server.ethernet);
    // SAFETY: as in `address_frame`.
    unsafe { (*frame.cast::<Frame>()).ethertype = ETHERTYPE_IPV4 };
    Ok(())
}

/// One hop less to live, of two at least.
#[inline(always)]
fn decrement_ttl(ip: *mut Ipv4Hdr) {
    // SAFETY: callers pass the header that was parsed; the word ends with the checksum.
    unsafe {
        let word = &raw mut (*ip).ttl;
        store(word, checksum::after_hop(load(word)));
    }
}

/// # Safety
/// `address` must be a field of the header `ip` points to.
#[inline(always)]
unsafe fn rewrite_address(address: *mut [u8; 4], new: u32, ip: *mut Ipv4Hdr, change: Delta) {
    // SAFETY: the caller says so.
    unsafe {
        store(address, new);
        let old = load::<u16>(&raw const (*ip).check);
        store(&raw mut (*ip).check, change.apply(old));
    }
}

/// The checksum of the TCP or UDP header.
#[inline(always)]
fn checksum(packet: Packet, parsed: &Parsed) -> Result<*mut u16, Drop> {
    let field = if parsed.key.protocol() == UDP {
        UDP_CHECKSUM
    } else {
        TCP_CHECKSUM
    };
    packet
        .whole(parsed.transport.wrapping_add(field))
        .ok_or(Drop::Inconsistent)
}

/// # Safety
/// `checksum` must point into the packet.
#[inline(always)]
unsafe fn rewrite_checksum(checksum: *mut u16, parsed: &Parsed, change: Delta) {
    // SAFETY: the caller says so.
    unsafe {
        *checksum = if parsed.key.protocol() == UDP {
            change.apply_udp(*checksum)
        } else {
            change.apply(*checksum)
        };
    }
}

/// Writes the Ethernet addresses: destination and source, as in `Server::ethernet`.
#[inline(always)]
fn address_frame(frame: *mut u8, ethernet: &[u32; 3]) {
    let ethernet = (&raw const *ethernet).cast::<Frame>();
    let frame = frame.cast::<Frame>();
    // SAFETY: callers pass the start of a frame with a whole IPv4 header; map entries are aligned
    // to words of 64 bits, as is the stack.
    unsafe {
        (*frame).first = (*ethernet).first;
        (*frame).last = (*ethernet).last;
    }
}

/// Two words, though not aligned as such: packets need no alignment.
#[repr(C)]
struct Frame {
    first: u64,
    last: u32,
    ethertype: u16,
}
