//! Packets that cannot go on: dropped, counted, and answered where IPVS answers them.

mod icmp4;

use lb_common::{drops::Drop, layout::key::Key};
use network_types::eth::EthHdr;

use crate::{
    account,
    frame::{Incoming, Packet, parse},
    open::service,
    settings,
    verdict::Verdict,
};

/// The XDP action of a verdict. What it drops is counted, and the client gets an ICMP error
/// where IPVS sends one.
#[inline(always)]
pub fn refuse(packet: Packet, verdict: Verdict) -> u32 {
    if verdict.is_drop() && answered(packet, verdict) {
        return Verdict::TRANSMIT.action();
    }
    verdict.action()
}

/// A tail-position subprogram that parses again: see [`unknown`](crate::unknown).
#[inline(never)]
fn answered(packet: Packet, verdict: Verdict) -> bool {
    let packet = packet.in_subprogram();
    let Incoming::Packet(parsed) = parse(packet) else {
        return false;
    };
    account::dropped(packet, verdict.reason(), parsed.key);
    icmp4::answer(packet, parsed.key, verdict.reason(), verdict.size())
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
