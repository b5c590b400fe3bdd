//! Every reason to drop a packet. [`Bench::send`] checks that each drop is counted once, for
//! one reason. Some drops are also answered: `icmp` checks the answers.

use lb_common::{drops::Drop, schedule::Scheduler};
use lb_tests::{
    dataplane::{Bench, Server, Service, Verdict, server_mac},
    packets::{ACK, CLIENT, DIRECTOR, ETHERNET, FIN, Packet, RST, SYN, with_header_checksum},
};

use crate::support::{add_interface, answer, bench_with, client, open, segment, server};

/// Fails unless the packet is dropped for this reason, and unchanged.
#[track_caller]
fn assert_dropped(bench: &mut Bench, packet: &Packet, reason: Drop) {
    let frame = packet.frame();
    let outcome = bench.send_frame(&frame);
    assert_eq!(outcome.verdict, Verdict::Drop(reason));
    assert_eq!(
        outcome.frame, frame,
        "a dropped packet is not half rewritten"
    );
}

/// Fails unless the packet is counted as dropped for this reason, and answered.
#[track_caller]
fn assert_answered(bench: &mut Bench, packet: &Packet, reason: Drop) {
    assert_eq!(bench.send(packet).verdict, Verdict::Answer(reason));
}

type Method = fn(u8) -> Server;
const METHODS: [(&str, Method); 3] = [
    ("DR", Server::direct),
    ("NAT", Server::translated),
    ("TUN", Server::tunnelled),
];

#[test]
fn no_server_if_all_weights_are_0_or_there_is_none() {
    for servers in [
        vec![],
        vec![Server::direct(11).weight(0), Server::direct(12).weight(0)],
    ] {
        let (mut bench, web) = bench_with(servers);
        assert_answered(&mut bench, &segment(&web, SYN), Drop::NoServer);
        assert!(
            bench.table().connections.is_empty(),
            "and nothing is stored"
        );
    }
}

#[test]
fn a_server_of_weight_0_keeps_its_connections() {
    let (mut bench, mut web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    let server = web.servers[0];
    bench.reweigh(&mut web, server, 0);
    assert_eq!(bench.send(&segment(&web, ACK)).verdict, Verdict::Transmit);
    let other = segment(&web, SYN).sent_from(client(1));
    assert_answered(&mut bench, &other, Drop::NoServer);
}

#[test]
fn server_gone_for_connections_to_a_server_that_was_removed() {
    for (name, method) in METHODS {
        let (mut bench, web) = bench_with([method(11)]);
        open(&mut bench, CLIENT, web.address);
        let counted = bench.traffic(web.servers[0]);
        bench.remove_server(web.servers[0]);
        for flags in [ACK, SYN, ACK] {
            assert_dropped(&mut bench, &segment(&web, flags), Drop::ServerGone);
        }
        assert_eq!(
            bench.traffic(web.servers[0]),
            counted,
            "{name}: IPVS counts none of them"
        );
    }
}

#[test]
fn a_local_server_that_was_removed_is_gone_too() {
    let (mut bench, web) = bench_with([Server::direct(11).local()]);
    let _ = bench.send(&segment(&web, SYN));
    bench.remove_server(web.servers[0]);
    assert_dropped(&mut bench, &segment(&web, ACK), Drop::ServerGone);
}

#[test]
fn a_server_that_came_back_has_its_connections_again() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    bench.remove_server(web.servers[0]);
    assert_dropped(&mut bench, &segment(&web, ACK), Drop::ServerGone);
    bench.edit_server(web.servers[0], |server| {
        server.flags |= lb_common::server::SERVER_AVAILABLE;
    });
    assert_eq!(bench.send(&segment(&web, ACK)).verdict, Verdict::Transmit);
}

#[test]
fn packets_to_a_removed_server_neither_step_its_connection_nor_keep_it_alive() {
    // IPVS with expire_nodest_conn=0 drops them before it looks at state and timer: golden
    // "ESTABLISHED … after ACK, after SYN", with the timer running on. Otherwise a client
    // that goes on sending, as UDP clients do, would never get another server.
    let (mut bench, web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    let _ = bench.send(&segment(&web, ACK));
    let connection = bench.table().connections.remove(0);
    bench.age(&connection, 100);
    let before = bench.table();
    bench.remove_server(web.servers[0]);
    for flags in [ACK, SYN, FIN | ACK, RST] {
        assert_dropped(&mut bench, &segment(&web, flags), Drop::ServerGone);
        assert_eq!(bench.table(), before, "flags {flags:#04x}");
    }
}

#[test]
fn next_hop_unknown_while_the_server_has_not_answered() {
    for (name, method) in METHODS {
        let (mut bench, web) = bench_with([method(11).unreachable()]);
        assert_dropped(&mut bench, &segment(&web, SYN), Drop::NextHopUnknown);
        assert_dropped(&mut bench, &segment(&web, ACK), Drop::NextHopUnknown);
        assert_eq!(
            bench.table().connections.len(),
            1,
            "{name}: the client will try again"
        );
        bench.edit_server(web.servers[0], |server| {
            server.flags |= lb_common::server::SERVER_REACHABLE;
        });
        assert_eq!(
            bench.send(&segment(&web, SYN)).verdict,
            Verdict::Transmit,
            "{name}"
        );
    }
}

#[test]
fn ttl_expired_if_no_hop_is_left() {
    for (name, method) in METHODS {
        let (mut bench, web) = bench_with([method(11)]);
        for ttl in [0, 1] {
            assert_answered(&mut bench, &segment(&web, SYN).ttl(ttl), Drop::TtlExpired);
        }
        let outcome = bench.send(&segment(&web, SYN).ttl(2));
        assert_eq!(outcome.verdict, Verdict::Transmit, "{name}");
        let inner = ETHERNET + if name == "TUN" { 20 } else { 0 };
        assert_eq!(outcome.frame[ETHERNET + 8], 1, "{name}");
        assert_eq!(outcome.frame[inner + 8], 1, "{name}");
    }
}

#[test]
fn ttl_expired_of_replies_too() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    open(&mut bench, CLIENT, web.address);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    for ttl in [0, 1] {
        assert_answered(&mut bench, &reply.clone().ttl(ttl), Drop::TtlExpired);
    }
    assert_eq!(bench.send(&reply.ttl(2)).verdict, Verdict::Transmit);
}

#[test]
fn too_big_beyond_the_mtu_on_the_way_to_the_server() {
    for (name, method) in METHODS {
        let room = if name == "TUN" { 20 } else { 0 };
        let (mut bench, web) = bench_with([method(11).mtu(1000)]);
        open(&mut bench, CLIENT, web.address);
        let of_length = |length: usize| {
            let packet = segment(&web, ACK);
            let payload = vec![7; length - packet.length()];
            packet.payload(&payload)
        };
        assert_answered(&mut bench, &of_length(1001 - room), Drop::TooBig);
        assert_answered(&mut bench, &of_length(1480), Drop::TooBig);
        let outcome = bench.send(&of_length(1000 - room));
        assert_eq!(
            outcome.verdict,
            Verdict::Transmit,
            "{name}: exactly the MTU"
        );
        // Padding after the packet does not count.
        let padded = of_length(1000 - room).padding(&[0; 30]);
        assert_eq!(
            bench.send(&padded).verdict,
            Verdict::Transmit,
            "{name}: padded"
        );
    }
}

#[test]
fn too_big_beyond_the_mtu_of_the_interface_that_a_reply_leaves_by() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let narrow = add_interface("narrow");
    bench.plug_at(narrow, narrow, DIRECTOR, 1000);
    let _ = bench.send_by(narrow, &segment(&web, SYN).frame());
    let of_length = |length: usize| {
        let packet = answer(server(11, 80), CLIENT, ACK);
        let payload = vec![7; length - packet.length()];
        packet.payload(&payload)
    };
    let counted = bench.traffic(web.servers[0]);
    assert_answered(&mut bench, &of_length(1001), Drop::TooBig);
    let mut packet = of_length(1500);
    packet.ip.dont_fragment = false;
    assert_dropped(&mut bench, &packet, Drop::TooBig);
    assert_eq!(
        bench.traffic(web.servers[0]),
        counted,
        "and nothing counts as sent"
    );
    let outcome = bench.send(&of_length(1000));
    assert_eq!(outcome.verdict, Verdict::Redirect, "exactly the MTU");
}

#[test]
fn merged_if_larger_than_what_the_interface_receives() {
    for (name, method) in METHODS {
        let (mut bench, web) = bench_with([method(11)]);
        open(&mut bench, CLIENT, web.address);
        // The interface's own MTU is 1500: nobody can have sent this in one frame.
        let packet = segment(&web, ACK).payload(&[7; 1500]);
        assert_dropped(&mut bench, &packet, Drop::Merged);
        if name != "NAT" {
            continue;
        }
        let reply = answer(server(11, 80), CLIENT, ACK).payload(&[7; 1500]);
        assert_dropped(&mut bench, &reply, Drop::Merged);
    }
}

#[test]
fn table_full_of_established_connections() {
    for (name, method, entries) in [
        ("DR", Server::direct as Method, 1),
        ("NAT", Server::translated, 2),
    ] {
        let mut bench = Bench::with_buckets(2);
        let web = bench.serve(Service::tcp(80).server(method(11)));
        let mut refused = 0;
        for number in 0..200 {
            let syn = segment(&web, SYN).sent_from(client(number));
            match bench.send(&syn).verdict {
                Verdict::Transmit => {
                    let ack = segment(&web, ACK).sent_from(client(number));
                    assert_eq!(bench.send(&ack).verdict, Verdict::Transmit);
                }
                verdict => {
                    assert_eq!(verdict, Verdict::Drop(Drop::TableFull), "{name}");
                    refused += 1;
                }
            }
        }
        let table = bench.table();
        assert_eq!(
            table.connections.len() * entries,
            16,
            "{name}: two full buckets"
        );
        assert_eq!(refused, 200 - table.connections.len(), "{name}");
        let syn = segment(&web, SYN).sent_from(client(1000));
        assert_dropped(&mut bench, &syn, Drop::TableFull);
        assert_eq!(bench.table(), table, "{name}: and nothing changed");
    }
}

#[test]
fn fragment_if_it_is_the_first_one_of_a_packet_to_a_service() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let dns = bench.serve(Service::udp(53).server(Server::direct(12)));
    open(&mut bench, CLIENT, web.address);
    for packet in [
        segment(&web, ACK),
        segment(&web, SYN),
        Packet::udp(CLIENT, dns.address),
    ] {
        let mut packet = packet.payload(&[7; 64]);
        packet.ip.more_fragments = true;
        packet.ip.dont_fragment = false;
        assert_dropped(&mut bench, &packet, Drop::Fragment);
        assert_dropped(&mut bench, &packet.options(&[1; 8]), Drop::Fragment);
    }
    assert_eq!(
        bench.traffic(web.servers[0]).in_packets,
        1,
        "and they count for no server"
    );
}

#[test]
fn the_dont_fragment_bit_and_the_reserved_one_make_no_fragment() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    for bits in [0x00, 0x40, 0x80, 0xC0] {
        let mut frame = segment(&web, SYN).frame();
        frame[ETHERNET + 6] = bits;
        let outcome = bench.send_frame(&with_header_checksum(frame));
        assert_eq!(outcome.verdict, Verdict::Transmit, "bits {bits:#04x}");
        assert_eq!(outcome.frame[ETHERNET + 6], bits);
    }
}

#[test]
fn no_route_if_the_clients_interface_is_gone() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let second = add_interface("second");
    bench.plug(second, DIRECTOR);
    let _ = bench.send_by(second, &segment(&web, SYN).frame());
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_eq!(bench.send(&reply).verdict, Verdict::Redirect);
    let counted = bench.traffic(web.servers[0]);
    bench.unplug(second);
    assert_dropped(&mut bench, &reply, Drop::NoRoute);
    assert_eq!(bench.traffic(web.servers[0]), counted);
}

#[test]
fn no_headroom_if_the_driver_leaves_none() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    let frame = segment(&web, SYN).frame();
    // Of 256 bytes, the kernel keeps 40 for itself.
    let enough = bench.send_behind_metadata(196, &frame);
    assert_eq!(enough.verdict, Verdict::Transmit);
    let short = bench.send_behind_metadata(200, &frame);
    assert_eq!(short.verdict, Verdict::Drop(Drop::NoHeadroom));
}

#[test]
fn inconsistent_maps_are_noticed() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    let slot = bench.table().connections[0].slot;
    // The map has no such server.
    bench.edit_slot(slot, |slot| slot.key = slot.key.of_server(0xFF_0000));
    assert_dropped(&mut bench, &segment(&web, ACK), Drop::Inconsistent);
}

#[test]
fn unknown_scheduler_for_a_number_that_this_version_does_not_know() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    let unknown = Scheduler::ALL.len() as u8;
    bench.edit_service(&web, |service| service.scheduler = unknown);
    let other = segment(&web, SYN).sent_from(client(1));
    assert_dropped(&mut bench, &other, Drop::UnknownScheduler);
    assert_eq!(bench.table().connections.len(), 1, "nothing is stored");
    let known = bench.send(&segment(&web, ACK));
    assert_eq!(known.verdict, Verdict::Transmit, "it has its server");
}

#[test]
fn every_reason_has_its_own_count() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let empty = bench.serve(Service::tcp(81));
    assert_eq!(bench.drops(), [0; Drop::ALL.len()]);
    for _ in 0..3 {
        let _ = bench.send(&segment(&empty, SYN));
        let _ = bench.send(&segment(&web, SYN).ttl(1));
    }
    let mut expected = [0; Drop::ALL.len()];
    expected[Drop::NoServer as usize] = 3;
    expected[Drop::TtlExpired as usize] = 3;
    assert_eq!(bench.drops(), expected);
}

#[test]
fn after_a_drop_the_next_packet_is_forwarded_whole() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    assert_answered(&mut bench, &segment(&web, SYN).ttl(1), Drop::TtlExpired);
    let outcome = bench.send(&segment(&web, SYN));
    let expected = segment(&web, SYN).aged().hop(DIRECTOR, server_mac(11));
    assert_eq!(outcome.packet(), expected);
}
