//! Packets that may not open a connection: malformed ones, and those whose sender lies about its
//! address. They pass to the kernel's network stack as they are.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::passes::Pass;
use lb_tests::{
    dataplane::{Bench, Served, Server, Service, Verdict},
    packets::{ACK, CLIENT, DIRECTOR, ETHERNET, Packet, ROUTER, SYN, VIP, with_header_checksum},
};

use crate::support::{answer, assert_sent, assert_untouched, open, segment, server};

type Method = fn(u8) -> Server;
const METHODS: [Method; 3] = [Server::direct, Server::translated, Server::tunnelled];

/// TCP port 80 and UDP port 53, each with a server of this method.
fn bench(method: Method) -> (Bench, Served, Served) {
    let mut bench = Bench::new();
    let web = bench.serve(Service::tcp(80).server(method(11)));
    let dns = bench.serve(Service::udp(53).server(method(12)));
    (bench, web, dns)
}

/// Fails unless the frame passes as it is, and is counted for this reason, and the same packet
/// without the fault opens a connection.
#[track_caller]
fn assert_refused(bench: &mut Bench, what: &str, frame: &[u8], reason: Pass) {
    let before = bench.passed(reason);
    assert_untouched(bench, what, frame);
    assert_eq!(bench.passed(reason), before + 1, "{what}");
    assert!(bench.table().connections.is_empty(), "{what}");
}

/// A SYN and a datagram, each in a frame that `spoil` has changed.
fn spoilt(web: &Served, dns: &Served, spoil: impl Fn(&mut Vec<u8>)) -> [Vec<u8>; 2] {
    let packets = [
        segment(web, SYN).payload(b"data"),
        Packet::udp(CLIENT, dns.address),
    ];
    packets.map(|packet| {
        let mut frame = packet.frame();
        spoil(&mut frame);
        frame
    })
}

#[test]
fn a_damaged_ip_header_opens_no_connection() {
    for method in METHODS {
        let (mut bench, web, dns) = bench(method);
        // Identification, time to live, the checksum itself: nothing else checks these.
        for byte in [4, 5, 8, 10, 11] {
            for frame in spoilt(&web, &dns, |frame| frame[ETHERNET + byte] ^= 0x10) {
                assert_refused(&mut bench, "damaged", &frame, Pass::Malformed);
            }
        }
    }
}

#[test]
fn damaged_ip_options_open_no_connection() {
    let (mut bench, web, _) = bench(Server::direct);
    for words in 1..=10 {
        let options = &[0x01; 40][..4 * words];
        let good = segment(&web, SYN).options(options);
        let mut frame = good.frame();
        frame[ETHERNET + 20 + 4 * words - 1] ^= 0x10;
        assert_refused(&mut bench, "the last byte", &frame, Pass::Malformed);
        let outcome = bench.send(&good);
        assert_eq!(outcome.verdict, Verdict::Transmit, "{words} words");
        bench.forget();
    }
}

#[test]
fn a_wrong_udp_length_opens_no_connection() {
    for method in METHODS {
        let (mut bench, _, dns) = bench(method);
        let good = Packet::udp(CLIENT, dns.address);
        let length = (good.length() - 20) as u16;
        let with_length = |length: u16| {
            let mut frame = good.frame();
            frame[ETHERNET + 24..ETHERNET + 26].copy_from_slice(&length.to_be_bytes());
            frame
        };
        for wrong in [0, 1, 7, length + 1, u16::MAX] {
            let frame = with_length(wrong);
            assert_refused(&mut bench, "UDP length", &frame, Pass::Malformed);
        }
        for right in [8, length - 1, length] {
            let outcome = bench.send_frame(&with_length(right));
            assert_eq!(outcome.verdict, Verdict::Transmit, "{right} of {length}");
            bench.forget();
        }
    }
}

#[test]
fn a_wrong_tcp_header_length_opens_no_connection() {
    for method in METHODS {
        let (mut bench, web, _) = bench(method);
        let good = segment(&web, SYN).payload(b"data");
        let with_words = |words: u8| {
            let mut frame = good.frame();
            frame[ETHERNET + 32] = words << 4;
            frame
        };
        for wrong in [0, 1, 4, 7, 15] {
            let frame = with_words(wrong);
            assert_refused(&mut bench, "data offset", &frame, Pass::Malformed);
        }
        for right in [5, 6] {
            let outcome = bench.send_frame(&with_words(right));
            assert_eq!(outcome.verdict, Verdict::Transmit, "{right} words");
            bench.forget();
        }
    }
}

#[test]
fn addresses_that_no_single_host_has_open_no_connection() {
    for method in METHODS {
        let (mut bench, web, dns) = bench(method);
        for source in [
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [127, 0, 0, 1],
            [127, 255, 0, 9],
            [224, 0, 0, 5],
            [239, 255, 255, 250],
            [240, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            for frame in spoilt(&web, &dns, |frame| {
                frame[ETHERNET + 12..ETHERNET + 16].copy_from_slice(&source);
            }) {
                let frame = with_header_checksum(frame);
                assert_refused(&mut bench, &format!("{source:?}"), &frame, Pass::Forged);
            }
        }
        // The neighbours of those ranges are addresses like others.
        for source in [
            [1, 0, 0, 1],
            [126, 0, 0, 1],
            [128, 0, 0, 1],
            [223, 255, 255, 254],
        ] {
            let from = SocketAddrV4::new(Ipv4Addr::from(source), 40_000);
            open(&mut bench, from, web.address);
        }
    }
}

#[test]
fn the_directors_own_addresses_and_vips_open_no_connection() {
    for method in METHODS {
        let (mut bench, web, dns) = bench(method);
        let own = Ipv4Addr::new(192, 0, 2, 77);
        bench.own(own);
        bench.own(VIP);
        for source in [own, VIP] {
            for port in [web.address.port(), dns.address.port(), 40_000] {
                let from = SocketAddrV4::new(source, port);
                for packet in [segment(&web, SYN), Packet::udp(CLIENT, dns.address)] {
                    let frame = packet.sent_from(from).frame();
                    assert_refused(&mut bench, &from.to_string(), &frame, Pass::Forged);
                }
            }
        }
    }
}

#[test]
fn packets_of_a_known_connection_are_not_judged() {
    let (mut bench, web, _) = bench(Server::translated);
    open(&mut bench, CLIENT, web.address);
    // The address became the director's own later: nobody's connection ends for that.
    bench.own(*CLIENT.ip());
    let outcome = bench.send(&segment(&web, ACK));
    assert_eq!(outcome.verdict, Verdict::Transmit);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    let expected = reply.clone().aged().hop(DIRECTOR, ROUTER);
    let expected = expected.sent_from(web.address);
    assert_sent(&mut bench, &reply, &expected);
}
