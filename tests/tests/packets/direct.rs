//! DR: only the MAC addresses and the time to live change.

use lb_tests::{
    dataplane::{Bench, Server, Service, server_mac},
    packets::{ACK, CLIENT, DIRECTOR, PSH, Packet, SYN, with_header_checksum},
};

use crate::{
    strategies,
    support::{assert_sent, bench_with, for_all, open, segment, vip},
};

/// The packet after DR.
fn directed(packet: &Packet, name: u8) -> Packet {
    packet.clone().aged().hop(DIRECTOR, server_mac(name))
}

#[test]
fn a_tcp_segment_only_changes_its_mac_addresses_and_ttl() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    for flags in [SYN, ACK, PSH | ACK] {
        let packet = segment(&web, flags).payload(b"GET / HTTP/1.1\r\n");
        assert_sent(&mut bench, &packet, &directed(&packet, 11));
    }
}

#[test]
fn a_udp_datagram_only_changes_its_mac_addresses_and_ttl() {
    let mut bench = Bench::new();
    let dns = bench.serve(Service::udp(53).server(Server::direct(12)));
    for packet in [
        Packet::udp(CLIENT, dns.address),
        Packet::udp(CLIENT, dns.address).unchecked(),
        Packet::udp(CLIENT, dns.address).payload(&[]),
    ] {
        assert_sent(&mut bench, &packet, &directed(&packet, 12));
    }
}

#[test]
fn ip_options_and_padding_stay_where_they_are() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    for words in 0..=10 {
        let packet = segment(&web, SYN)
            .options(&[0x01; 40][..4 * words])
            .tcp_options(&[2, 4, 5, 180])
            .padding(&[0xEE; 6]);
        assert_sent(&mut bench, &packet, &directed(&packet, 11));
    }
}

#[test]
fn dr_ignores_a_port_that_differs_from_the_services() {
    let (mut bench, web) = bench_with([Server::direct(11).port(8080)]);
    let packet = segment(&web, SYN);
    assert_sent(&mut bench, &packet, &directed(&packet, 11));
}

#[test]
fn the_header_checksum_is_right_for_every_ttl_and_carry() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    for ttl in 2..=255 {
        // These identifications bring the sum close to where it carries, from both sides.
        let base = segment(&web, ACK).ttl(ttl);
        let frame = base.frame();
        let sum = u16::from_be_bytes([frame[24], frame[25]]);
        for near in [
            sum.wrapping_sub(1),
            sum,
            sum.wrapping_add(1),
            0xFFFF,
            0x00FF,
            0x0100,
        ] {
            let mut packet = base.clone();
            packet.ip.identification = packet.ip.identification.wrapping_add(near);
            assert_sent(&mut bench, &packet, &directed(&packet, 11));
        }
    }
}

#[test]
fn a_wrong_header_checksum_stays_wrong() {
    // If the director corrected it, the server could not notice that the packet is damaged.
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let right = segment(&web, SYN).frame();
    let mut wrong = right.clone();
    wrong[24] ^= 0x40;
    let outcome = bench.send_frame(&wrong).frame;
    assert_ne!(outcome, with_header_checksum(outcome.clone()));
}

#[test]
fn any_packet_is_forwarded_as_it_is() {
    let mut bench = Bench::new();
    for_all(300, strategies::packet(), |packet| {
        bench.reset();
        bench.serve(strategies::service_of(&packet).server(Server::direct(11)));
        let opener = strategies::opener(&packet);
        assert_sent(&mut bench, &opener, &directed(&opener, 11));
        assert_sent(&mut bench, &packet, &directed(&packet, 11));
        let _ = bench.table();
    });
}

#[test]
fn two_services_on_one_address_do_not_mix() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let mail = bench.serve(Service::tcp(25).server(Server::direct(12)));
    let dns = bench.serve(Service::udp(80).server(Server::direct(13)));
    for (packet, name) in [
        (segment(&web, SYN), 11),
        (segment(&mail, SYN), 12),
        (Packet::udp(CLIENT, dns.address), 13),
    ] {
        assert_sent(&mut bench, &packet, &directed(&packet, name));
    }
    assert_eq!(dns.address, vip(80));
}
