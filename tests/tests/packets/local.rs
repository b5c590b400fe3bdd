//! A server that is the director itself: the kernel's own stack gets its packets.

use lb_tests::{
    dataplane::{Bench, Server, Service, Traffic, Verdict},
    packets::{ACK, CLIENT, Packet, SYN},
};

use crate::support::{answer, assert_untouched, bench_with, client, segment, server};

#[test]
fn its_packets_pass_as_they_came_and_are_counted() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        let (mut bench, web) = bench_with([method(11).local()]);
        // Also a packet without a hop left: it has arrived.
        for packet in [
            segment(&web, SYN),
            segment(&web, ACK).payload(b"data").ttl(1),
        ] {
            assert_untouched(&mut bench, "a local server's packet", &packet.frame());
        }
        let expected = Traffic {
            connections: 1,
            in_packets: 2,
            in_bytes: 40 + 44,
            ..Traffic::default()
        };
        assert_eq!(bench.traffic(web.servers[0]), expected);
        let table = bench.table();
        assert_eq!(table.connections.len(), 1);
        assert_eq!(
            table.connections[0].reverse, None,
            "replies bypass the program"
        );
        assert!(table.reverses.is_empty());
        assert_eq!(bench.load(web.servers[0]), (1, 0));
    }
}

#[test]
fn it_takes_turns_with_others() {
    let (mut bench, web) = bench_with([Server::direct(11).local(), Server::direct(12)]);
    let verdicts: Vec<Verdict> = (0..4)
        .map(|number| {
            bench
                .send(&segment(&web, SYN).sent_from(client(number)))
                .verdict
        })
        .collect();
    use Verdict::{Pass, Transmit};
    assert_eq!(verdicts, [Transmit, Pass, Transmit, Pass]);
}

#[test]
fn the_packets_that_it_sends_pass() {
    let (mut bench, web) = bench_with([Server::translated(11).local()]);
    let _ = bench.send(&segment(&web, SYN));
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_untouched(&mut bench, "a reply", &reply.frame());
}

#[test]
fn its_udp_packets_pass_and_are_counted() {
    let mut bench = Bench::new();
    let dns = bench.serve(Service::udp(53).server(Server::direct(11).local()));
    assert_untouched(
        &mut bench,
        "a datagram",
        &Packet::udp(CLIENT, dns.address).frame(),
    );
    assert_eq!(bench.load(dns.servers[0]), (0, 1));
}
