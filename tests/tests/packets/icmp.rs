//! The ICMP errors that clients get for refused packets: the same as from IPVS.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    Icmpv4Type,
    icmpv4::{DestUnreachableHeader, TimeExceededCode},
};
use lb_common::drops::Drop;
use lb_tests::{
    dataplane::{Bench, Outcome, SERVER_SIDE_ADDRESS, Server, Service, Verdict},
    packets::{ACK, CLIENT, DIRECTOR, Packet, SYN, icmp_error, icmp_error_from},
};

use crate::support::{
    add_interface, answer, assert_untouched, bench_with, client, cpus, open, segment, server,
    stay_on, vip,
};

const NO_SERVER: Icmpv4Type = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
const NO_TTL: Icmpv4Type = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);

fn too_big(next_hop_mtu: u16) -> Icmpv4Type {
    let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu };
    Icmpv4Type::DestinationUnreachable(header)
}

/// Fails unless the sender gets this error, and the packet is counted as dropped.
#[track_caller]
fn assert_told(bench: &mut Bench, packet: &Packet, reason: Drop, kind: Icmpv4Type) {
    let frame = packet.frame();
    let expected = Outcome {
        verdict: Verdict::Answer(reason),
        frame: icmp_error(&frame, kind),
    };
    assert_eq!(bench.send_frame(&frame), expected);
}

/// Fails unless the packet is dropped without an answer.
#[track_caller]
fn assert_silent(bench: &mut Bench, packet: &Packet, reason: Drop) {
    let expected = Outcome {
        verdict: Verdict::Drop(reason),
        frame: packet.frame(),
    };
    assert_eq!(bench.send(packet), expected);
}

#[test]
fn without_an_available_server_the_port_is_unreachable() {
    let (mut bench, web) = bench_with([Server::direct(11).weight(0)]);
    let dns = bench.serve(Service::udp(53));
    assert_told(&mut bench, &segment(&web, SYN), Drop::NoServer, NO_SERVER);
    for payload in [&b""[..], b"x", b"question"] {
        let packet = Packet::udp(CLIENT, dns.address).payload(payload);
        assert_told(&mut bench, &packet, Drop::NoServer, NO_SERVER);
    }
    assert!(bench.table().connections.is_empty());
}

#[test]
fn without_a_hop_left_the_time_is_exceeded() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        let (mut bench, web) = bench_with([method(11)]);
        for ttl in [0, 1] {
            assert_told(
                &mut bench,
                &segment(&web, SYN).ttl(ttl),
                Drop::TtlExpired,
                NO_TTL,
            );
        }
        let packet = segment(&web, ACK).ttl(1).payload(&[7; 1000]);
        assert_told(&mut bench, &packet, Drop::TtlExpired, NO_TTL);
    }
}

#[test]
fn the_sender_of_a_packet_that_is_too_big_learns_the_largest_size() {
    for (method, largest) in [
        (Server::direct as fn(u8) -> Server, 1000),
        (Server::translated, 1000),
        (Server::tunnelled, 980),
    ] {
        let (mut bench, web) = bench_with([method(11).mtu(1000)]);
        open(&mut bench, CLIENT, web.address);
        let packet = segment(&web, ACK);
        let payload = vec![7; usize::from(largest) + 1 - packet.length()];
        let packet = packet.payload(&payload);
        assert_told(&mut bench, &packet, Drop::TooBig, too_big(largest));
        let payload = &payload[1..];
        let outcome = bench.send(&packet.payload(payload));
        assert_eq!(
            outcome.verdict,
            Verdict::Transmit,
            "what it was told is true"
        );
    }
}

#[test]
fn a_server_learns_what_became_of_its_reply_from_the_director() {
    // The client's address is not the director's to answer from.
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let narrow = add_interface("narrow");
    bench.plug_at(narrow, narrow, DIRECTOR, 1000);
    let _ = bench.send_by(narrow, &segment(&web, SYN).frame());
    let reply = answer(server(11, 80), CLIENT, ACK);
    for (packet, reason, kind) in [
        (reply.clone().ttl(1), Drop::TtlExpired, NO_TTL),
        (reply.payload(&[7; 961]), Drop::TooBig, too_big(1000)),
    ] {
        let frame = packet.frame();
        let expected = Outcome {
            verdict: Verdict::Answer(reason),
            frame: icmp_error_from(SERVER_SIDE_ADDRESS, &frame, kind),
        };
        assert_eq!(bench.send_frame(&frame), expected);
    }
}

#[test]
fn a_big_packet_that_may_be_fragmented_is_dropped_without_an_answer() {
    let (mut bench, web) = bench_with([Server::direct(11).mtu(1000)]);
    open(&mut bench, CLIENT, web.address);
    let mut packet = segment(&web, ACK).payload(&[7; 1000]);
    packet.ip.dont_fragment = false;
    assert_silent(&mut bench, &packet, Drop::TooBig);
    // The bit matters for this reason only.
    let mut packet = segment(&web, ACK).ttl(1);
    packet.ip.dont_fragment = false;
    assert_told(&mut bench, &packet, Drop::TtlExpired, NO_TTL);
}

#[test]
fn padding_is_not_quoted() {
    let (mut bench, web) = bench_with([]);
    let packet = segment(&web, SYN).padding(&[0xEE; 30]);
    assert_told(&mut bench, &packet, Drop::NoServer, NO_SERVER);
    let dns = bench.serve(Service::udp(53));
    let packet = Packet::udp(CLIENT, dns.address)
        .payload(&[])
        .padding(&[0xEE; 18]);
    assert_told(&mut bench, &packet, Drop::NoServer, NO_SERVER);
}

#[test]
fn the_answer_goes_back_the_way_the_packet_came() {
    let (mut bench, web) = bench_with([]);
    for (number, hop) in [(1, [2, 0, 0, 0, 7, 1]), (2, [2, 0, 0, 0, 7, 2])] {
        let packet = segment(&web, SYN)
            .sent_from(client(number))
            .hop(hop, DIRECTOR);
        assert_told(&mut bench, &packet, Drop::NoServer, NO_SERVER);
        let frame = icmp_error(&packet.frame(), NO_SERVER);
        assert_eq!(frame[..6], hop, "says the test as well");
    }
}

#[test]
fn packets_with_ip_options_are_not_answered() {
    let (mut bench, web) = bench_with([]);
    assert_silent(
        &mut bench,
        &segment(&web, SYN).options(&[1; 4]),
        Drop::NoServer,
    );
}

#[test]
fn an_address_that_is_not_of_a_single_host_gets_no_answer() {
    // RFC 1122, 3.2.2: a forged source must not make the director send to a whole network.
    let (mut bench, web) = bench_with([]);
    for (source, answered) in [
        ([0, 0, 0, 0], false),
        ([1, 0, 0, 0], true),
        ([126, 255, 255, 255], true),
        ([127, 0, 0, 1], false),
        ([128, 0, 0, 0], true),
        ([223, 255, 255, 255], true),
        ([224, 0, 0, 1], false),
        ([255, 255, 255, 255], false),
    ] {
        let source = SocketAddrV4::new(Ipv4Addr::from(source), 40_000);
        let packet = segment(&web, SYN).sent_from(source);
        match answered {
            true => assert_told(&mut bench, &packet, Drop::NoServer, NO_SERVER),
            false => assert_untouched(&mut bench, "forged", &packet.frame()),
        }
    }
}

#[test]
fn a_flood_is_answered_some_thousand_times_a_second() {
    let (mut bench, web) = bench_with([]);
    // Each CPU has its own limit.
    stay_on(cpus()[0]);
    let begin = bench.now();
    let packets = 2000;
    let mut answers = 0;
    for number in 0..packets {
        let packet = segment(&web, SYN).sent_from(client(number));
        answers += match bench.send(&packet).verdict {
            Verdict::Answer(Drop::NoServer) => 1,
            Verdict::Drop(Drop::NoServer) => 0,
            other => panic!("{other:?}"),
        };
    }
    let ticks = bench.now() - begin + 1;
    // A thousand in a second, however many ticks it has.
    let each = 1000 / bench.ticks(1);
    assert!((1..=40).contains(&each), "{each} a tick");
    let most = (each + 1) * ticks;
    assert!(answers <= most, "{answers} answers in {ticks} ticks");
    assert!(answers >= each, "{answers} answers in {ticks} ticks");
    assert_eq!(bench.drops()[Drop::NoServer as usize], u64::from(packets));
    assert_eq!(web.address, vip(80));
}
