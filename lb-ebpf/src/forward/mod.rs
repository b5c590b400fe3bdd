//! Sending a packet to its server, by the server's forwarding method: a file each.
//!
//! Nothing is written to the packet before everything has been checked: see [`obstacle`].

mod direct;
mod leave;
mod nat;
mod tunnel;

use lb_common::{
    drops::Drop,
    server::{Method, SERVER_AVAILABLE, SERVER_LOCAL, SERVER_REACHABLE, Server},
};
use network_types::ip::Ipv4Hdr;

use self::leave::leave;
pub use self::nat::to_client;
use crate::{
    frame::{Packet, Parsed, ipv4},
    machine::verifier,
    verdict::Verdict,
};

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

/// A server's method and flags in one number, so that one comparison tells that a packet can go
/// to the server, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Way(u16);

impl Way {
    /// By DR, to a server that is available and reachable.
    pub const DR: Self = Self::ready(Method::Dr);
    /// By NAT, likewise.
    pub const NAT: Self = Self::ready(Method::Nat);
    /// By TUN, likewise.
    pub const TUN: Self = Self::ready(Method::Tun);

    const fn ready(method: Method) -> Self {
        Self(method as u16 | ((SERVER_AVAILABLE | SERVER_REACHABLE) as u16) << 8)
    }

    /// The same value, hidden from the optimiser, so that it does not merge the comparisons
    /// before and after.
    #[inline(always)]
    pub fn opaque(self) -> Self {
        Self(verifier::opaque(u64::from(self.0)) as u16)
    }

    /// As the server is: one of those above, or not ready.
    #[inline(always)]
    pub fn of(server: &Server) -> Self {
        Self(u16::from(server.method) | u16::from(server.flags) << 8)
    }
}

/// What happens to a client's packet that must not go to its server this way.
#[inline(always)]
pub fn obstacle(parsed: &Parsed, server: &Server, way: Way) -> Option<Verdict> {
    let room = match way {
        Way::TUN => server.mtu - Ipv4Hdr::LEN as u16,
        _ => server.mtu,
    };
    obstacle_by(parsed, room)
}

/// What happens to a packet that must not leave by a way that takes this many bytes.
#[inline(always)]
pub fn obstacle_by(parsed: &Parsed, room: u16) -> Option<Verdict> {
    if parsed.length > room {
        return Some(Verdict::too_big(room));
    }
    if parsed.ip.get(ipv4::TTL) <= 1 {
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
            direct::send(parsed, server);
            Ok(())
        }
        Way::NAT => nat::to_server(packet, parsed, server),
        _ => tunnel::send(packet, parsed, server),
    };
    match result {
        Ok(()) => leave(parsed, server.interface),
        Err(reason) => Verdict::drop(reason),
    }
}
