//! Sending a packet on its way, by the server's forwarding method.
//!
//! Nothing is written to the packet before everything has been checked.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use lb_common::{
    checksum::{self, Delta},
    connection::{Reverse, UDP},
    drops::Drop,
    layout::Port,
    server::{Method, SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE, Server},
};
use network_types::ip::Ipv4Hdr;

use crate::{
    packet::Packet,
    parse::{IP, Parsed, load, store},
    verdict::Verdict,
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
    const READY: u8 = SERVER_AVAILABLE | SERVER_REACHABLE;
    if server.flags & (READY | SERVER_LOCAL) != READY {
        return unready(server);
    }
    let result = match server.method {
        m if m == Method::Dr as u8 => direct(packet, parsed, server),
        m if m == Method::Nat as u8 => translate(packet, parsed, server),
        _ => tunnel(packet, parsed, server),
    };
    match result {
        Ok(()) => leave(packet, server.interface),
        Err(Drop::TooBig) => Verdict::TooBig(largest(server)),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// The largest IP packet that reaches the server.
#[inline(always)]
fn largest(server: &Server) -> u16 {
    if server.method == Method::Tun as u8 {
        server.mtu - Ipv4Hdr::LEN as u16
    } else {
        server.mtu
    }
}

#[inline(always)]
fn unready(server: &Server) -> Verdict {
    if server.flags & SERVER_AVAILABLE == 0 {
        Verdict::Drop(Drop::ServerGone)
    } else if server.flags & SERVER_LOCAL != 0 {
        Verdict::Pass
    } else {
        Verdict::Drop(Drop::NextHopUnknown)
    }
}

/// XDP_TX is the cheaper way, where it is one.
#[inline(always)]
fn leave(packet: Packet, interface: u32) -> Verdict {
    if interface == packet.interface() {
        Verdict::Transmit
    } else {
        Verdict::Redirect(interface)
    }
}

/// DR: the packet as it is, to the server's MAC address.
#[inline(always)]
fn direct(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    if parsed.length > server.mtu {
        return Err(Drop::TooBig);
    }
    decrement_ttl(parsed.ip)?;
    address_frame(packet, server.ethernet)
}

/// NAT: to the server's address and port.
#[inline(always)]
fn translate(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    if parsed.length > server.mtu {
        return Err(Drop::TooBig);
    }
    let ip = parsed.ip;
    let port = transport::<u16>(packet, parsed.transport + 2)?;
    let checksum = transport::<u16>(packet, checksum_offset(parsed))?;
    decrement_ttl(ip)?;
    let addresses = Delta::ZERO.long(parsed.key.destination(), server.address);
    let ports = addresses.word(parsed.key.destination_port(), server.port);
    // SAFETY: the header that was parsed, and pointers into the packet that `transport` gave.
    unsafe {
        rewrite_address(&raw mut (*ip).dst_addr, server.address, ip, addresses);
        *port = server.port;
        rewrite_checksum(checksum, parsed, ports);
    }
    address_frame(packet, server.ethernet)
}

/// NAT, the way back: from the service's address and port.
#[inline(always)]
pub fn to_client(
    packet: Packet,
    parsed: &Parsed,
    server: &Server,
    route: Reverse,
    port: &Port,
) -> Verdict {
    match translate_back(packet, parsed, server, route, port) {
        Ok(()) => leave(packet, port.interface),
        Err(reason) => Verdict::Drop(reason),
    }
}

#[inline(always)]
fn translate_back(
    packet: Packet,
    parsed: &Parsed,
    server: &Server,
    route: Reverse,
    leave_by: &Port,
) -> Result<(), Drop> {
    let ip = parsed.ip;
    let port = transport::<u16>(packet, parsed.transport)?;
    let checksum = transport::<u16>(packet, checksum_offset(parsed))?;
    decrement_ttl(ip)?;
    let addresses = Delta::ZERO.long(parsed.key.source(), server.service_address);
    let ports = addresses.word(parsed.key.source_port(), server.service_port);
    // SAFETY: as above.
    unsafe {
        rewrite_address(
            &raw mut (*ip).src_addr,
            server.service_address,
            ip,
            addresses,
        );
        *port = server.service_port;
        rewrite_checksum(checksum, parsed, ports);
    }
    let [a, b, c, d, e, f] = route.next_hop;
    let [g, h, i, j, k, l] = leave_by.mac;
    address_frame(
        packet,
        [
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
        ],
    )
}

/// TUN: inside another IP packet (RFC 2003). Like IPVS with `pmtu_disc=1`: the outer header
/// has the inner one's time to live after the hop, its DSCP and its don't-fragment bit.
#[inline(always)]
fn tunnel(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    let length = parsed.length + Ipv4Hdr::LEN as u16;
    if length > server.mtu || length < parsed.length {
        return Err(Drop::TooBig);
    }
    let inner = parsed.ip;
    decrement_ttl(inner)?;
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
    let outer = header(packet)?;
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
    address_frame(packet, server.ethernet)
}

#[inline(always)]
fn header(packet: Packet) -> Result<*mut Ipv4Hdr, Drop> {
    packet.at::<Ipv4Hdr>(IP).ok_or(Drop::Inconsistent)
}

#[inline(always)]
fn transport<T>(packet: Packet, offset: usize) -> Result<*mut T, Drop> {
    packet.behind::<T>(offset).ok_or(Drop::Inconsistent)
}

#[inline(always)]
fn checksum_offset(parsed: &Parsed) -> usize {
    let field = if parsed.key.protocol() == UDP {
        UDP_CHECKSUM
    } else {
        TCP_CHECKSUM
    };
    parsed.transport + field
}

/// One hop less to live. The packet is untouched where none is left.
#[inline(always)]
fn decrement_ttl(ip: *mut Ipv4Hdr) -> Result<(), Drop> {
    // SAFETY: callers pass the header that was parsed.
    unsafe {
        let ttl = (*ip).ttl;
        if ttl <= 1 {
            return Err(Drop::TtlExpired);
        }
        (*ip).ttl = ttl - 1;
        let old = load::<u16>(&raw const (*ip).check);
        store(&raw mut (*ip).check, checksum::after_hop(old));
    }
    Ok(())
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

/// Writes the Ethernet header: destination and source, as in `Server::ethernet`.
#[inline(always)]
fn address_frame(packet: Packet, ethernet: [u32; 3]) -> Result<(), Drop> {
    let frame = packet.at::<Frame>(0).ok_or(Drop::Inconsistent)?;
    let [a, b, c] = ethernet;
    // SAFETY: `at` gives a pointer to a whole header.
    unsafe {
        (*frame).addresses[0] = a;
        (*frame).addresses[1] = b;
        (*frame).addresses[2] = c;
        (*frame).ethertype = ETHERTYPE_IPV4;
    }
    Ok(())
}

#[repr(C)]
struct Frame {
    addresses: [u32; 3],
    ethertype: u16,
}
