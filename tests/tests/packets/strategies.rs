//! Random packets.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{IpDscp, IpEcn, IpNumber};
use lb_tests::{
    dataplane::Service,
    packets::{Packet, SYN},
};
use proptest::{collection::vec, option, prelude::*};

/// Any IPv4 address that a host can have.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    let first = any::<u8>().prop_filter("a host's", |first| !matches!(first, 0 | 127 | 224..));
    (first, any::<[u8; 3]>()).prop_map(|(first, [b, c, d])| Ipv4Addr::new(first, b, c, d))
}

/// Any address and any port but 20, from which no connection is ever opened.
pub fn endpoint() -> impl Strategy<Value = SocketAddrV4> {
    let port = any::<u16>().prop_filter("FTP's data port", |&port| port != 20);
    (address(), port).prop_map(|(address, port)| SocketAddrV4::new(address, port))
}

/// A packet between any two hosts that has at least one more hop to live, of up to about
/// 1400 bytes; TCP flags are any.
pub fn packet() -> impl Strategy<Value = Packet> {
    let ends = (endpoint(), endpoint());
    let transport = prop_oneof![
        any::<u8>().prop_map(Some), // TCP, with these flags
        Just(None),                 // UDP
    ];
    let header = (
        2..=255u8,
        any::<u16>(),
        any::<bool>(),
        0..64u8,
        0..4u8,
        options(),
    );
    let data = (payload(), vec(any::<u8>(), 0..20), any::<bool>(), options());
    (ends, transport, header, data).prop_map(
        |((source, destination), transport, header, (payload, padding, checked, options))| {
            let mut packet = match transport {
                Some(flags) => Packet::tcp(source, destination, flags).tcp_options(&options),
                None => Packet::udp(source, destination),
            };
            let (ttl, id, dont_fragment, dscp, ecn, options) = header;
            packet.ip.identification = id;
            packet.ip.dont_fragment = dont_fragment;
            packet.ip.dscp = IpDscp::try_new(dscp).expect("6 bits");
            packet.ip.ecn = IpEcn::try_new(ecn).expect("2 bits");
            if !checked {
                packet = packet.unchecked();
            }
            packet
                .ttl(ttl)
                .options(&options)
                .payload(&payload)
                .padding(&padding)
        },
    )
}

/// The packet that opens the connection of this one.
pub fn opener(packet: &Packet) -> Packet {
    if packet.ip.protocol == IpNumber::TCP {
        Packet::tcp(packet.source(), packet.destination(), SYN)
    } else {
        Packet::udp(packet.source(), packet.destination())
    }
}

/// The service that a packet is for.
pub fn service_of(packet: &Packet) -> Service {
    let port = packet.destination().port();
    let service = if packet.ip.protocol == IpNumber::TCP {
        Service::tcp(port)
    } else {
        Service::udp(port)
    };
    service.at(*packet.destination().ip())
}

/// IPv4 or TCP options: mostly none.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let words = option::weighted(0.3, vec(any::<[u8; 4]>(), 1..=10));
    words.prop_map(|words| words.unwrap_or_default().concat())
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..1300)]
}
