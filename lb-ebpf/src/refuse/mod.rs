//! Packets that cannot be forwarded: dropped, counted, and answered where IPVS answers them.

mod icmp4;

use lb_common::{drops::Drop, layout::key::Key};
use network_types::eth::EthHdr;

use crate::{
    account,
    frame::{Incoming, Packet, Parsed, parse},
    maps,
    open::service,
    settings,
    verdict::Verdict,
};

/// The XDP action of a verdict on a client's packet. What it drops is counted, and the client gets
/// an ICMP error where IPVS sends one.
#[inline(always)]
pub fn refuse(packet: Packet, verdict: Verdict) -> u32 {
    if verdict.is_drop() && answered(packet, verdict, Sender::DESTINATION) {
        return Verdict::TRANSMIT.action();
    }
    verdict.action()
}

/// The same for a packet of the server with this index, which gets the error: the client's address
/// is not for it to answer from, so the error comes from the director's own.
#[inline(always)]
pub fn reply(packet: Packet, verdict: Verdict, server: u32) -> Verdict {
    match told(packet, verdict, server) {
        true => Verdict::TRANSMIT,
        false => verdict,
    }
}

#[inline(never)]
fn told(packet: Packet, verdict: Verdict, server: u32) -> bool {
    let own = maps::SERVERS
        .get(server)
        .map_or(0, |server| server.tunnel_source);
    answered(packet, verdict, Sender(u64::from(own)))
}

/// The address that an answer comes from (as on the wire), in one register: the verifier wants a
/// subprogram's arguments to be written, which half of a `None` is not.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sender(u64);

impl Sender {
    /// The address that the refused packet was sent to.
    const DESTINATION: Self = Self(u64::MAX);
}

/// Counts a dropped packet, and answers it.
///
/// A tail-position subprogram that parses again: see [`unknown`](crate::unknown).
#[inline(never)]
fn answered(packet: Packet, verdict: Verdict, from: Sender) -> bool {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return false;
    };
    let reason = reason(&parsed, verdict);
    account::dropped(packet, reason, parsed.key);
    let from = match from {
        Sender::DESTINATION => parsed.key.destination(),
        Sender(address) => address as u32,
    };
    icmp4::answer(packet, parsed.key, from, reason, verdict.size())
}

/// Why a packet is dropped. One that is too big for its way out, and larger than the interface can
/// have received, was not sent like this: a smaller size would be the wrong advice to its sender.
#[inline(always)]
fn reason(parsed: &Parsed, verdict: Verdict) -> Drop {
    let reason = verdict.reason();
    let merged = reason == Drop::TooBig
        && settings::mtu(parsed.interface).is_some_and(|mtu| parsed.length > mtu);
    if merged { Drop::Merged } else { reason }
}

/// Drops the first fragment of a packet to a service: fragments cannot be balanced. The later
/// ones have no ports, could be anybody's, and pass.
#[inline(always)]
pub fn fragment(packet: Packet, key: &Key) -> Verdict {
    let ours = settings::concerned_by(key.destination())
        && service::find(key).is_some()
        && packet
            .at::<EthHdr>(0)
            .is_some_and(|ethernet| settings::addressed_by(packet.interface(), ethernet));
    if !ours {
        return Verdict::PASS;
    }
    account::dropped(packet, Drop::Fragment, *key);
    Verdict::drop(Drop::Fragment)
}
