//! What happens when the table is full: half-open connections give way, others never do.

use lb_common::{drops::Drop, state::tcp::TcpState};
use lb_tests::{
    dataplane::{Bench, Served, Server, Service, Verdict},
    packets::{ACK, FIN, Packet, SYN},
};

use crate::support::{answer, client, open, segment, server};

const CLOSE: u8 = TcpState::Close as u8;

/// A table of one bucket: eight connections, or four of NAT.
fn small(method: fn(u8) -> Server) -> (Bench, Served) {
    let mut bench = Bench::with_buckets(1);
    let web = bench.serve(Service::tcp(80).server(method(11)));
    (bench, web)
}

fn establish(bench: &mut Bench, served: &Served, number: u16) {
    for flags in [SYN, ACK] {
        let packet = segment(served, flags).sent_from(client(number));
        assert_eq!(
            bench.send(&packet).verdict,
            Verdict::Transmit,
            "client {number}"
        );
    }
}

/// The numbers of the clients whose connections are in the table.
fn clients(bench: &Bench) -> Vec<u16> {
    let mut clients: Vec<u16> = bench
        .table()
        .connections
        .iter()
        .map(|connection| connection.client.port() - client(0).port())
        .collect();
    clients.sort_unstable();
    clients
}

/// Lets a client's last packet have passed that many seconds ago.
fn wait(bench: &mut Bench, served: &Served, number: u16, seconds: u32) {
    let table = bench.table();
    let connection = table
        .find(client(number), served.address)
        .expect("a connection");
    bench.age(connection, seconds);
}

#[test]
fn a_flood_of_syns_evicts_no_established_connection() {
    for (method, slots, replies) in [
        (Server::direct as fn(u8) -> Server, 1, false),
        (Server::tunnelled, 1, false),
        (Server::translated, 2, true),
    ] {
        let mut bench = Bench::with_buckets(16);
        let web = bench.serve(Service::tcp(80).server(method(11)).server(method(12)));
        let established = 40 / slots;
        for number in 0..established {
            establish(&mut bench, &web, number);
        }
        let before = bench.table();
        let mut refused = 0;
        for number in 0..10 * 128 {
            let syn = segment(&web, SYN).sent_from(client(1000 + number));
            match bench.send(&syn).verdict {
                Verdict::Transmit => {}
                Verdict::Drop(Drop::TableFull) => refused += 1,
                other => panic!("a SYN of the flood ended as {other:?}"),
            }
        }
        // Reading the table compares the counts, and finds reverse entries that were left.
        let after = bench.table();
        for connection in &before.connections {
            assert!(
                after.connections.contains(connection),
                "evicted: {connection:?}"
            );
        }
        let entries = after.connections.len() + after.reverses.len();
        assert_eq!(
            after.reverses.len(),
            if replies { after.connections.len() } else { 0 }
        );
        assert!(entries <= 128, "that many slots there are");
        assert!(entries > 110, "the table is in use: {entries} of 128");
        assert!(
            refused < 128,
            "new clients still get through: {refused} of 1280 refused"
        );
        for number in 0..established {
            let ack = segment(&web, ACK).sent_from(client(number));
            assert_eq!(bench.send(&ack).verdict, Verdict::Transmit);
            if replies {
                let name = if number % 2 == 0 { 12 } else { 11 };
                let reply = answer(server(name, 80), client(number), ACK);
                assert_eq!(bench.send(&reply).verdict, Verdict::Transmit);
            }
        }
    }
}

#[test]
fn a_table_of_half_open_connections_takes_every_new_one() {
    let (mut bench, web) = small(Server::direct);
    for number in 0..100 {
        open(&mut bench, client(number), web.address);
    }
    assert_eq!(clients(&bench).len(), 8);
    assert_eq!(bench.traffic(web.servers[0]).connections, 100);
    assert_eq!(bench.load(web.servers[0]), (8, 0));
}

#[test]
fn the_half_open_connection_that_has_waited_longest_goes_first() {
    let (mut bench, web) = small(Server::direct);
    for number in 0..8 {
        open(&mut bench, client(number), web.address);
    }
    // In an order that is neither that of the slots nor that of the clients.
    for (number, seconds) in [
        (5, 50),
        (2, 40),
        (7, 30),
        (0, 20),
        (1, 9),
        (3, 8),
        (4, 7),
        (6, 6),
    ] {
        wait(&mut bench, &web, number, seconds);
    }
    for (new, expected) in [
        (10, vec![0, 1, 2, 3, 4, 6, 7, 10]),
        (11, vec![0, 1, 3, 4, 6, 7, 10, 11]),
        (12, vec![0, 1, 3, 4, 6, 10, 11, 12]),
        (13, vec![1, 3, 4, 6, 10, 11, 12, 13]),
    ] {
        open(&mut bench, client(new), web.address);
        assert_eq!(clients(&bench), expected);
    }
}

#[test]
fn what_has_expired_goes_before_what_is_half_open() {
    let (mut bench, web) = small(Server::direct);
    for number in 0..8 {
        open(&mut bench, client(number), web.address);
        wait(&mut bench, &web, number, 50);
    }
    establish(&mut bench, &web, 3);
    wait(&mut bench, &web, 3, 900);
    open(&mut bench, client(10), web.address);
    assert_eq!(clients(&bench), [0, 1, 2, 4, 5, 6, 7, 10]);
    // A closed one expires sooner than a half-open one.
    let _ = bench.send(&segment(&web, ACK).sent_from(client(6)));
    let _ = bench.send(&segment(&web, 0).sent_from(client(6)));
    let closed = bench
        .table()
        .find(client(6), web.address)
        .expect("it is closed")
        .clone();
    assert_eq!(closed.state, CLOSE);
    wait(&mut bench, &web, 6, 11);
    open(&mut bench, client(11), web.address);
    assert_eq!(clients(&bench), [0, 1, 2, 4, 5, 7, 10, 11]);
    assert_eq!(bench.load(web.servers[0]), (8, 0));
}

#[test]
fn what_has_not_expired_stays_unless_it_is_half_open() {
    let mut bench = Bench::with_buckets(1);
    let web = bench.serve(Service::tcp(80).server(Server::direct(11)));
    let dns = bench.serve(Service::udp(53).server(Server::direct(12)));
    establish(&mut bench, &web, 0);
    wait(&mut bench, &web, 0, 890);
    establish(&mut bench, &web, 1);
    let _ = bench.send(&segment(&web, FIN | ACK).sent_from(client(1)));
    wait(&mut bench, &web, 1, 110);
    establish(&mut bench, &web, 2);
    let _ = bench.send(&segment(&web, 0).sent_from(client(2)));
    wait(&mut bench, &web, 2, 8);
    let _ = bench.send(&Packet::udp(client(3), dns.address));
    wait_for_udp(&mut bench, &dns);
    for number in 4..50 {
        open(&mut bench, client(number), web.address);
    }
    assert_eq!(clients(&bench)[..4], [0, 1, 2, 3]);
    assert_eq!(bench.load(web.servers[0]), (5, 2));
    assert_eq!(bench.load(dns.servers[0]), (0, 1));
}

fn wait_for_udp(bench: &mut Bench, dns: &Served) {
    wait(bench, dns, 3, 290);
}

#[test]
fn an_evicted_nat_connection_takes_its_reverse_entry_along() {
    let (mut bench, web) = small(Server::translated);
    for number in 0..50 {
        open(&mut bench, client(number), web.address);
        let table = bench.table();
        assert_eq!(table.connections.len(), table.reverses.len());
        assert_eq!(table.connections.len(), usize::from(number + 1).min(4));
        // The newest has its replies.
        let reply = answer(server(11, 80), client(number), SYN | ACK);
        assert_eq!(bench.send(&reply).verdict, Verdict::Transmit);
    }
}

#[test]
fn a_nat_connection_without_room_for_its_replies_is_not_opened() {
    // Seven established DR connections leave one slot: a NAT connection needs two.
    let mut bench = Bench::with_buckets(1);
    let web = bench.serve(Service::tcp(80).server(Server::direct(11)));
    let nat = bench.serve(Service::tcp(81).server(Server::translated(12)));
    for number in 0..7 {
        establish(&mut bench, &web, number);
    }
    let before = bench.table();
    for number in 0..3 {
        let syn = segment(&nat, SYN).sent_from(client(number));
        assert_eq!(bench.send(&syn).verdict, Verdict::Drop(Drop::TableFull));
        assert_eq!(bench.table(), before);
    }
    assert_eq!(bench.load(nat.servers[0]), (0, 0));
    assert_eq!(bench.traffic(nat.servers[0]), Default::default());
    // The slot is still there for who can do with it.
    establish(&mut bench, &web, 7);
    assert_eq!(clients(&bench).len(), 8);
}

#[test]
fn a_refused_client_gets_in_as_soon_as_somebody_leaves() {
    let (mut bench, web) = small(Server::direct);
    for number in 0..8 {
        establish(&mut bench, &web, number);
    }
    let syn = segment(&web, SYN).sent_from(client(8));
    assert_eq!(bench.send(&syn).verdict, Verdict::Drop(Drop::TableFull));
    wait(&mut bench, &web, 4, 900);
    assert_eq!(bench.send(&syn).verdict, Verdict::Transmit);
    assert_eq!(clients(&bench), [0, 1, 2, 3, 5, 6, 7, 8]);
}

#[test]
fn a_key_uses_both_of_its_buckets() {
    let mut bench = Bench::with_buckets(2);
    let web = bench.serve(Service::tcp(80).server(Server::direct(11)));
    for number in 0..400 {
        let syn = segment(&web, SYN).sent_from(client(number));
        if bench.send(&syn).verdict == Verdict::Transmit {
            let _ = bench.send(&segment(&web, ACK).sent_from(client(number)));
        }
    }
    assert_eq!(bench.table().connections.len(), 16);
}
