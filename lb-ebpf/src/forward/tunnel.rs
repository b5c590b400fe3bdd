//! TUN: the packet inside another IP packet (IPIP, RFC 2003).
//!
//! As IPVS with `pmtu_disc=1`: the outer header has the inner one's time to live after the hop,
//! its DSCP and its don't-fragment bit.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use lb_common::{drops::Drop, server::Server};
use network_types::ip::Ipv4Hdr;

use crate::frame::{Packet, Parsed, ipv4, link};

const IPIP: u8 = 4;
const ECN: u8 = 0b11;
const ECN_CAPABLE: u8 = 0b10;

/// Makes it a packet to the server.
#[inline(always)]
pub fn send(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    let inner = parsed.ip;
    ipv4::decrement_ttl(inner);
    let tos = inner.get(ipv4::TOS);
    let ttl = inner.get(ipv4::TTL);
    let fragment = inner.get(ipv4::FRAGMENT) & ipv4::DONT_FRAGMENT;
    let outer = ipv4::New {
        tos: outer_tos(tos),
        length: (parsed.length + Ipv4Hdr::LEN as u16).to_be(),
        id: identification(fragment),
        fragment,
        ttl,
        protocol: IPIP,
        source: server.tunnel_source,
        destination: server.address,
    };
    let checksum = outer.checksum();
    if !packet.move_start(-(Ipv4Hdr::LEN as i32)) {
        return Err(Drop::NoHeadroom);
    }
    let link = parsed.link;
    let ip = packet.at(link.length()).ok_or(Drop::Inconsistent)?;
    let ethernet = packet.at(0).ok_or(Drop::Inconsistent)?;
    outer.write(ip, checksum);
    link::address(ethernet, &server.ethernet);
    link.write(ethernet);
    Ok(())
}

/// A mark that the packet already met congestion is not copied (RFC 3168, 9.1.1).
#[inline(always)]
const fn outer_tos(tos: u8) -> u8 {
    let ecn = if tos & ECN == ECN {
        ECN_CAPABLE
    } else {
        tos & ECN
    };
    tos & !ECN | ecn
}

/// Routers need it only if they may fragment the packet (RFC 6864).
#[inline(always)]
fn identification(fragment: u16) -> u16 {
    if fragment == 0 {
        // SAFETY: a helper without preconditions.
        unsafe { bpf_get_prandom_u32() as u16 }
    } else {
        0
    }
}
