//! NAT: the packet with another address and port, and checksums that are corrected by the
//! difference.

use lb_common::{
    checksum::Delta, drops::Drop, layout::interface::Interface, layout::slot::Reverse,
    protocol::UDP, server::Server,
};

use super::leave::leave;
use crate::{
    frame::{
        Header, Packet, Parsed, Ports, ipv4, link,
        transport::{self, Checksum},
    },
    verdict::Verdict,
};

/// Makes it a packet to the server's address and port.
#[inline(always)]
pub fn to_server(packet: Packet, parsed: &Parsed, server: &Server) -> Result<(), Drop> {
    let checksum = checksum(packet, parsed)?;
    ipv4::decrement_ttl(parsed.ip);
    let addresses = Delta::ZERO.long(parsed.key.destination(), server.address);
    let ports = addresses.word(parsed.key.destination_port(), server.port);
    ipv4::rewrite(parsed.ip, ipv4::DESTINATION, server.address, addresses);
    parsed.ports.set(Ports::DESTINATION, server.port);
    rewrite(checksum, parsed, ports);
    link::address(parsed.ethernet, &server.ethernet);
    Ok(())
}

/// Sends a server's packet, which has no obstacle, to the client, from the service's address and
/// port.
#[inline(always)]
pub fn to_client(
    packet: Packet,
    parsed: &Parsed,
    server: &Server,
    route: Reverse,
    interface: &Interface,
) -> Verdict {
    let Ok(checksum) = checksum(packet, parsed) else {
        return Verdict::drop(Drop::Inconsistent);
    };
    ipv4::decrement_ttl(parsed.ip);
    let addresses = Delta::ZERO.long(parsed.key.source(), server.service_address);
    let ports = addresses.word(parsed.key.source_port(), server.service_port);
    ipv4::rewrite(parsed.ip, ipv4::SOURCE, server.service_address, addresses);
    parsed.ports.set(Ports::SOURCE, server.service_port);
    rewrite(checksum, parsed, ports);
    let [a, b, c, d, e, f] = route.next_hop;
    let [g, h, i, j, k, l] = interface.mac;
    link::address(
        parsed.ethernet,
        &[
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
        ],
    );
    leave(parsed, interface.index)
}

#[inline(always)]
fn checksum(packet: Packet, parsed: &Parsed) -> Result<Header<Checksum>, Drop> {
    transport::checksum(packet, parsed.key.protocol(), parsed.ports).ok_or(Drop::Inconsistent)
}

#[inline(always)]
fn rewrite(checksum: Header<Checksum>, parsed: &Parsed, change: Delta) {
    let old = checksum.get(Checksum::VALUE);
    let new = if parsed.key.protocol() == UDP {
        change.apply_udp(old)
    } else {
        change.apply(old)
    };
    checksum.set(Checksum::VALUE, new);
}
