//! Packets that do not concern the director pass, byte for byte unchanged.

use std::net::SocketAddrV4;

use etherparse::{EtherType, IpFragOffset, IpNumber, PacketBuilder, VlanId};
use lb_tests::{
    dataplane::{Bench, INGRESS, Served, Server, Service},
    packets::{
        ACK, CLIENT, DIRECTOR, ETHERNET, FIN, PSH, Packet, ROUTER, RST, SYN, VIP, ethernet,
        with_header_checksum,
    },
};

use crate::support::{
    add_interface, answer, assert_untouched, bench_with, client, open, segment, server, vip,
};

/// A bench that balances TCP port 80 and UDP port 53, by NAT, so that replies matter too.
fn bench() -> (Bench, Served) {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    bench.serve(Service::udp(53).server(Server::translated(12)));
    (bench, web)
}

const OTHER_STATION: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
const BROADCAST: [u8; 6] = [0xFF; 6];
const MULTICAST: [u8; 6] = [0x01, 0, 0x5E, 0, 0, 1];

#[test]
fn what_is_not_ipv4_passes() {
    let (mut bench, web) = bench();
    let arp = etherparse::ArpPacket::new(
        etherparse::ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        etherparse::ArpOperation::REQUEST,
        &ROUTER,
        &CLIENT.ip().octets(),
        &[0; 6],
        &VIP.octets(),
    );
    let mut frame = Vec::new();
    let request = PacketBuilder::ethernet2(ROUTER, BROADCAST).arp(arp.expect("an ARP packet"));
    request.write(&mut frame).expect("a vector");
    assert_untouched(&mut bench, "ARP", &frame);

    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, DIRECTOR)
        .ipv6([0x20; 16], [0x21; 16], 64)
        .tcp(40_000, 80, 1, 1000)
        .syn()
        .write(&mut frame, &[])
        .expect("a vector");
    assert_untouched(&mut bench, "IPv6", &frame);

    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER, DIRECTOR)
        .single_vlan(VlanId::try_new(7).expect("12 bits"))
        .ipv4(CLIENT.ip().octets(), VIP.octets(), 64)
        .tcp(CLIENT.port(), 80, 1, 1000)
        .syn()
        .write(&mut frame, &[])
        .expect("a vector");
    assert_untouched(&mut bench, "VLAN", &frame);

    // The bytes of a SYN that would be balanced, under other EtherTypes.
    for ether_type in [0x0806, 0x86DD, 0x8100, 0x8847, 0x88CC, 0x0008, 0x0801, 0] {
        let mut frame = segment(&web, SYN).frame();
        frame[12..14].copy_from_slice(&u16::to_be_bytes(ether_type));
        assert_untouched(&mut bench, &format!("type {ether_type:#06x}"), &frame);
    }
    assert!(bench.table().connections.is_empty());
}

#[test]
fn a_frame_too_short_for_its_headers_passes() {
    let (mut bench, web) = bench();
    let whole = segment(&web, SYN).frame();
    for length in ETHERNET..whole.len() {
        assert_untouched(
            &mut bench,
            &format!("{length} bytes of it"),
            &whole[..length],
        );
    }
    let whole = Packet::udp(CLIENT, vip(53)).payload(&[]).frame();
    for length in ETHERNET..whole.len() {
        assert_untouched(
            &mut bench,
            &format!("{length} bytes of it"),
            &whole[..length],
        );
    }
    let empty = ethernet(ROUTER, DIRECTOR, EtherType::IPV4);
    assert_untouched(&mut bench, "an Ethernet header and no more", &empty);
}

#[test]
fn a_malformed_ipv4_header_passes() {
    let (mut bench, web) = bench();
    let mut spoilt = |what: &str, spoil: &dyn Fn(&mut [u8])| {
        for packet in [
            segment(&web, SYN).payload(b"data"),
            Packet::udp(CLIENT, vip(53)),
        ] {
            let mut frame = packet.frame();
            spoil(&mut frame[ETHERNET..]);
            assert_untouched(&mut bench, what, &frame);
        }
    };
    for version in (0..16).filter(|&version| version != 4) {
        spoilt(&format!("version {version}"), &|ip| {
            ip[0] = version << 4 | 5
        });
    }
    for words in 0..5 {
        spoilt(&format!("a header of {words} words"), &|ip| {
            ip[0] = 0x40 | words
        });
    }
    spoilt("a header longer than the packet", &|ip| ip[0] = 0x4F);
    spoilt("longer than the frame by a byte", &|ip| {
        let length = ip.len() as u16 + 1;
        ip[2..4].copy_from_slice(&length.to_be_bytes());
    });
    spoilt("longer than any frame", &|ip| ip[2..4].fill(0xFF));
    for length in 0..28u16 {
        spoilt(&format!("a length of {length}"), &|ip| {
            ip[2..4].copy_from_slice(&length.to_be_bytes());
        });
    }
    assert!(bench.table().connections.is_empty());
}

#[test]
fn a_tcp_header_that_the_ip_packet_cuts_off_passes() {
    let (mut bench, web) = bench();
    // The frame is longer: the rest is padding.
    for length in 20..40u16 {
        let mut frame = segment(&web, SYN).padding(&[0; 20]).frame();
        frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&length.to_be_bytes());
        let frame = with_header_checksum(frame);
        assert_untouched(&mut bench, &format!("{length} bytes"), &frame);
    }
    // The same with IP options before the TCP header.
    for length in 28..48u16 {
        let mut frame = segment(&web, SYN)
            .options(&[1; 8])
            .padding(&[0; 20])
            .frame();
        frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&length.to_be_bytes());
        let frame = with_header_checksum(frame);
        assert_untouched(&mut bench, &format!("{length} bytes with options"), &frame);
    }
}

#[test]
fn what_is_for_no_service_passes() {
    let (mut bench, web) = bench();
    let elsewhere = SocketAddrV4::new([10, 9, 9, 8].into(), 80);
    let packets = [
        ("another address", Packet::tcp(CLIENT, elsewhere, SYN)),
        ("another port", Packet::tcp(CLIENT, vip(81), SYN)),
        ("TCP to UDP's port", Packet::tcp(CLIENT, vip(53), SYN)),
        ("UDP to TCP's port", Packet::udp(CLIENT, web.address)),
        (
            "UDP from the service's own port",
            Packet::udp(CLIENT, vip(54)),
        ),
        (
            "to the server itself",
            Packet::tcp(CLIENT, server(11, 80), SYN),
        ),
    ];
    for (what, packet) in packets {
        assert_untouched(&mut bench, what, &packet.frame());
    }
    for protocol in [0, 1, 2, 4, 41, 47, 50, 51, 132, 136, 255] {
        let mut packet = segment(&web, SYN);
        packet.ip.protocol = IpNumber(protocol);
        assert_untouched(&mut bench, &format!("protocol {protocol}"), &packet.frame());
    }
    assert!(bench.table().connections.is_empty());
}

#[test]
fn only_a_syn_opens_a_tcp_connection() {
    let (mut bench, web) = bench();
    for flags in (0..=0xFF).filter(|flags| flags & (SYN | RST) != SYN) {
        let mut frame = segment(&web, 0).frame();
        frame[ETHERNET + 20 + 13] = flags;
        assert_untouched(&mut bench, &format!("flags {flags:#04x}"), &frame);
    }
    assert!(bench.table().connections.is_empty());
    assert_eq!(bench.traffic(web.servers[0]), Default::default());
}

#[test]
fn a_syn_opens_whatever_comes_with_it_but_rst() {
    let (mut bench, web) = bench();
    for flags in [SYN, SYN | ACK, SYN | PSH, SYN | FIN, SYN | 0xE0] {
        let mut packet = segment(&web, 0);
        packet = packet.sent_from(client(u16::from(flags)));
        let mut frame = packet.frame();
        frame[ETHERNET + 20 + 13] = flags;
        let _ = bench.send_frame(&frame);
        assert!(bench.table().of(&packet).is_some(), "flags {flags:#04x}");
    }
}

#[test]
fn ftp_data_connections_are_not_opened() {
    let (mut bench, web) = bench();
    let from = |port| {
        segment(&web, SYN)
            .sent_from(SocketAddrV4::new(*CLIENT.ip(), port))
            .frame()
    };
    assert_untouched(&mut bench, "a SYN from port 20", &from(20));
    for neighbour in [19, 21, 20 << 8] {
        let _ = bench.send_frame(&from(neighbour));
    }
    assert_eq!(bench.table().connections.len(), 3);
}

#[test]
fn frames_to_other_stations_pass() {
    let (mut bench, web) = bench();
    let known = segment(&web, ACK);
    open(&mut bench, CLIENT, web.address);
    let reply = answer(server(11, 80), CLIENT, ACK);
    let before = bench.table();
    for station in [OTHER_STATION, BROADCAST, MULTICAST, ROUTER, [0; 6]] {
        let packets = [
            ("of a known connection", known.clone()),
            (
                "that would open one",
                known.clone().sent_from(client(1)).payload(b""),
            ),
            ("SYN", segment(&web, SYN).sent_from(client(1))),
            ("RST", segment(&web, RST)),
            ("datagram", Packet::udp(CLIENT, vip(53))),
            ("reply", reply.clone()),
        ];
        for (what, packet) in packets {
            let frame = packet.hop(ROUTER, station).frame();
            assert_untouched(&mut bench, &format!("{what} to {station:x?}"), &frame);
        }
        let frame = fragment(segment(&web, ACK).hop(ROUTER, station), true, 0);
        assert_untouched(&mut bench, "a fragment", &frame);
    }
    assert_eq!(bench.table(), before, "and changes nothing");
    assert_eq!(bench.traffic(web.servers[0]).in_packets, 1);
}

#[test]
fn frames_to_another_interface_of_the_director_pass() {
    let (mut bench, web) = bench();
    let second = add_interface("second");
    bench.plug(second, OTHER_STATION);
    let syn = segment(&web, SYN);
    assert_untouched(
        &mut bench,
        "at the wrong one",
        &syn.clone().hop(ROUTER, OTHER_STATION).frame(),
    );
    let outcome = bench.send_by(second, &syn.frame());
    assert_eq!(outcome.frame, syn.frame(), "at the wrong one");
    bench.unplug(INGRESS);
    assert_untouched(
        &mut bench,
        "at one that is not the director's",
        &syn.frame(),
    );
    assert!(bench.table().connections.is_empty());
}

#[test]
fn servers_traffic_without_a_connection_passes() {
    let (mut bench, web) = bench();
    open(&mut bench, CLIENT, web.address);
    let packets = [
        ("to another client", answer(server(11, 80), client(1), ACK)),
        ("from another port", answer(server(11, 81), CLIENT, ACK)),
        ("of another server", answer(server(12, 80), CLIENT, ACK)),
        (
            "its own connection",
            answer(server(11, 50_000), CLIENT, SYN),
        ),
        ("of another protocol", Packet::udp(server(11, 80), CLIENT)),
        (
            "as if it were the service",
            answer(web.address, CLIENT, ACK),
        ),
    ];
    for (what, packet) in packets {
        assert_untouched(&mut bench, what, &packet.frame());
    }
    assert_eq!(bench.traffic(web.servers[0]).out_packets, 0);
}

/// A fragment of a packet.
fn fragment(mut packet: Packet, more: bool, offset: u16) -> Vec<u8> {
    packet.ip.more_fragments = more;
    packet.ip.fragment_offset = IpFragOffset::try_new(offset).expect("13 bits");
    packet.payload(&[7; 64]).frame()
}

#[test]
fn fragments_of_packets_to_others_pass() {
    let (mut bench, _) = bench();
    let elsewhere = SocketAddrV4::new([10, 9, 9, 8].into(), 80);
    for (more, offset) in [(true, 0), (true, 100), (false, 100)] {
        // The director may route fragments to a server's address: they do not belong to a
        // service. Nor do those to another port of the VIP.
        for destination in [elsewhere, server(11, 80), server(12, 53), vip(54)] {
            let frame = fragment(Packet::udp(CLIENT, destination), more, offset);
            assert_untouched(
                &mut bench,
                &format!("{more} {offset} to {destination}"),
                &frame,
            );
        }
    }
}

#[test]
fn later_fragments_pass_because_they_have_no_ports() {
    let (mut bench, web) = bench();
    open(&mut bench, CLIENT, web.address);
    for (more, offset) in [
        (true, 185),
        (false, 185),
        (false, 1),
        (true, 0x1FFF),
        (false, 0x1000),
    ] {
        for packet in [segment(&web, ACK), Packet::udp(CLIENT, vip(53))] {
            assert_untouched(&mut bench, "a fragment", &fragment(packet, more, offset));
        }
    }
}

#[test]
fn fragments_of_protocols_that_are_never_balanced_pass() {
    let (mut bench, _) = bench();
    for protocol in [1, 47, 50, 89, 132] {
        let mut packet = Packet::udp(CLIENT, vip(53));
        packet.ip.protocol = IpNumber(protocol);
        let frame = fragment(packet, true, 0);
        assert_untouched(&mut bench, &format!("protocol {protocol}"), &frame);
    }
}
