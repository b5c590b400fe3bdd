//! TUN: the packet travels whole inside another one.

use std::collections::BTreeSet;

use etherparse::{EtherType, IpDscp, IpEcn, IpNumber, Ipv4Header};
use lb_tests::{
    dataplane::{Bench, Server, Service, Verdict, server_address, server_mac},
    packets::{ACK, CLIENT, DIRECTOR, ETHERNET, IPV4, Packet, SYN, ethernet, with_header_checksum},
};

use crate::{
    strategies,
    support::{bench_with, for_all, open, segment},
};

/// Sends the packet and compares the result, except for the outer identification, which it
/// returns.
#[track_caller]
fn assert_tunnelled(bench: &mut Bench, packet: &Packet, name: u8) -> u16 {
    let outcome = bench.send(packet);
    assert_eq!(outcome.verdict, Verdict::Transmit, "of {packet:#?}");
    let id = u16::from_be_bytes([outcome.frame[ETHERNET + 4], outcome.frame[ETHERNET + 5]]);
    let inner = packet.clone().aged();
    let mut outer = Ipv4Header {
        dscp: packet.ip.dscp,
        // RFC 3168, 9.1.1, full functionality: everything is copied except CE.
        ecn: match packet.ip.ecn.value() {
            3 => IpEcn::try_new(2).expect("2 bits"),
            _ => packet.ip.ecn,
        },
        identification: id,
        dont_fragment: packet.ip.dont_fragment,
        time_to_live: inner.ip.time_to_live,
        protocol: IpNumber::IPV4,
        source: [10, 2, 0, 1],
        destination: server_address(name).octets(),
        ..Ipv4Header::default()
    };
    outer
        .set_payload_len(packet.length())
        .expect("a small packet");
    outer.header_checksum = outer.calc_header_checksum();
    let mut expected = ethernet(DIRECTOR, server_mac(name), EtherType::IPV4);
    expected.extend_from_slice(&outer.to_bytes());
    expected.extend_from_slice(&inner.frame()[ETHERNET..]);
    let (read, _) = Ipv4Header::from_slice(&outcome.frame[ETHERNET..]).expect("an outer header");
    assert_eq!(read, outer);
    assert_eq!(outcome.frame, expected);
    id
}

#[test]
fn the_outer_header_leads_to_the_server_and_the_inner_packet_is_the_clients() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    let dns = bench.serve(Service::udp(53).server(Server::tunnelled(12)));
    for packet in [
        segment(&web, SYN),
        segment(&web, ACK).payload(b"data").padding(&[0xEE; 6]),
    ] {
        assert_tunnelled(&mut bench, &packet, 11);
    }
    for packet in [
        Packet::udp(CLIENT, dns.address),
        Packet::udp(CLIENT, dns.address).unchecked().payload(b"odd"),
    ] {
        assert_tunnelled(&mut bench, &packet, 12);
    }
}

#[test]
fn inner_options_stay_inside() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    for words in 0..=10 {
        let packet = segment(&web, SYN).options(&[0x01; 40][..4 * words]);
        assert_tunnelled(&mut bench, &packet, 11);
    }
}

#[test]
fn the_outer_type_of_service_is_the_inner_one_but_for_congestion() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    open(&mut bench, CLIENT, web.address);
    for dscp in 0..64 {
        for ecn in 0..4 {
            let mut packet = segment(&web, ACK);
            packet.ip.dscp = IpDscp::try_new(dscp).expect("6 bits");
            packet.ip.ecn = IpEcn::try_new(ecn).expect("2 bits");
            assert_tunnelled(&mut bench, &packet, 11);
        }
    }
}

#[test]
fn the_outer_ttl_is_the_inner_one_after_the_hop() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    open(&mut bench, CLIENT, web.address);
    for ttl in 2..=255 {
        assert_tunnelled(&mut bench, &segment(&web, ACK).ttl(ttl), 11);
    }
}

#[test]
fn what_must_not_be_fragmented_needs_no_identification() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    open(&mut bench, CLIENT, web.address);
    let mut packet = segment(&web, ACK);
    for id in [0, 1, 0xFFFF] {
        packet.ip.dont_fragment = true;
        packet.ip.identification = id;
        assert_eq!(assert_tunnelled(&mut bench, &packet, 11), 0);
    }
}

#[test]
fn what_may_be_fragmented_has_an_identification_of_its_own() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    open(&mut bench, CLIENT, web.address);
    let mut packet = segment(&web, ACK);
    packet.ip.dont_fragment = false;
    let ids: BTreeSet<u16> = (0..100)
        .map(|_| assert_tunnelled(&mut bench, &packet, 11))
        .collect();
    // 100 random ones have 99.9 different values on average, and practically never 90 or fewer.
    assert!(
        ids.len() > 90,
        "{} different identifications of 100",
        ids.len()
    );
    let high: BTreeSet<u16> = ids.iter().map(|id| id >> 8).collect();
    assert!(high.len() > 50, "both bytes vary");
}

#[test]
fn the_reserved_flag_is_not_copied_outside() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    let mut frame = segment(&web, SYN).frame();
    frame[ETHERNET + 6] |= 0x80;
    let out = bench.send_frame(&with_header_checksum(frame)).frame;
    assert_eq!(
        out[ETHERNET + 6..ETHERNET + 8],
        [0x40, 0],
        "outside: don't fragment"
    );
    assert_eq!(out[ETHERNET + IPV4 + 6], 0xC0, "inside: as it came");
}

#[test]
fn any_packet_arrives_whole() {
    let mut bench = Bench::new();
    for_all(300, strategies::packet(), |packet| {
        bench.reset();
        bench.serve(strategies::service_of(&packet).server(Server::tunnelled(11)));
        let _ = bench.send(&strategies::opener(&packet));
        assert_tunnelled(&mut bench, &packet, 11);
        let _ = bench.table();
    });
}

#[test]
fn tunnels_may_have_any_ends() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    open(&mut bench, CLIENT, web.address);
    for (from, to) in [
        ([192, 168, 100, 1], [203, 0, 113, 200]),
        ([255, 255, 255, 255], [255, 255, 255, 254]),
        ([0, 0, 0, 0], [0, 0, 0, 1]),
    ] {
        bench.edit_server(web.servers[0], |server| {
            server.tunnel_source = u32::from_ne_bytes(from);
            server.address = u32::from_ne_bytes(to);
        });
        let out = bench.send(&segment(&web, ACK)).frame;
        let (outer, _) = Ipv4Header::from_slice(&out[ETHERNET..]).expect("an outer header");
        assert_eq!((outer.source, outer.destination), (from, to));
        assert_eq!(outer.header_checksum, outer.calc_header_checksum());
    }
}
