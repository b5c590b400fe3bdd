//! Whatever happens in whatever order: each server's active and inactive counts are the
//! number of its connections, and its counters what was sent to and by it.
//!
//! [`Bench::table`] compares the former after every packet.

use std::{net::SocketAddrV4, ops::Range};

use lb_common::{
    drops::Drop,
    schedule::Scheduler,
    state::{
        tcp::TcpState,
        time::age,
        timeouts::{DEFAULT_TIMEOUTS, Timeouts},
    },
    table::live::is_reusable,
};
use lb_tests::{
    dataplane::{Bench, Connection, Outcome, Served, Server, Service, Table, Traffic, Verdict},
    packets::{ACK, CLIENT, DIRECTOR, FIN, PSH, Packet, RST, SYN},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::support::{
    SERVER_SIDE, answer, bench_with, client, cpus, for_all, open, segment, server, stay_on,
};

/// One thing that happens to the connection of a client to a service.
#[derive(Clone, Debug)]
enum Event {
    /// The client sends a packet; in TCP, with these flags.
    Asks(u8),
    /// Its server sends one.
    Answers(u8),
    /// That many seconds pass without a packet.
    Rests(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let flags = || {
        select(vec![
            SYN,
            SYN,
            SYN | ACK,
            ACK,
            PSH | ACK,
            FIN | ACK,
            RST,
            0,
            SYN | RST,
        ])
    };
    prop_oneof![
        6 => flags().prop_map(Event::Asks),
        3 => flags().prop_map(Event::Answers),
        1 => select(vec![5, 8, 50, 70, 130, 400, 1000]).prop_map(Event::Rests),
    ]
}

/// A bench with every method and protocol, and what it should have counted.
struct Model {
    bench: Bench,
    services: Vec<Served>,
    expected: Vec<Traffic>,
}

impl Model {
    fn new() -> Self {
        // Small enough to fill.
        let mut bench = Bench::with_buckets(4);
        let services = [
            Service::tcp(80)
                .scheduler(Scheduler::Wlc)
                .server(Server::direct(11))
                .server(Server::direct(12).weight(3)),
            Service::tcp(81)
                .server(Server::translated(13))
                .server(Server::translated(14).port(8080)),
            Service::tcp(82)
                .scheduler(Scheduler::Lc)
                .server(Server::tunnelled(15)),
            Service::udp(53)
                .scheduler(Scheduler::Wrr)
                .server(Server::translated(16).weight(2))
                .server(Server::translated(17)),
            Service::udp(54).server(Server::direct(18)),
            Service::tcp(83).server(Server::direct(19).local()),
        ];
        let services = services.map(|service| bench.serve(service)).to_vec();
        Self {
            bench,
            services,
            expected: Vec::new(),
        }
    }

    fn reset(&mut self) {
        self.bench.forget();
        self.expected = vec![Traffic::default(); 9];
    }

    fn happens(&mut self, who: u16, which: usize, event: Event) {
        let served = self.services[which].clone();
        let udp = (3..5).contains(&which);
        let before = self.bench.table();
        let asks = |flags| {
            if udp {
                Packet::udp(client(who), served.address)
            } else {
                Packet::tcp(client(who), served.address, flags)
            }
        };
        let connection = before.of(&asks(0)).cloned();
        match event {
            Event::Rests(seconds) => {
                if let Some(connection) = connection {
                    self.bench.age(&connection, seconds);
                }
            }
            Event::Asks(flags) => self.asked(&before, connection, &asks(flags), flags),
            Event::Answers(flags) => {
                let from = connection
                    .as_ref()
                    .map_or(served.servers[0], |found| found.server);
                let port = match self.bench.name(from) {
                    14 => 8080,
                    _ => served.address.port(),
                };
                let from = server(self.bench.name(from), port);
                let reply = if udp {
                    Packet::udp(from, client(who)).hop(SERVER_SIDE, DIRECTOR)
                } else {
                    answer(from, client(who), flags)
                };
                self.answered(connection, &reply, served.address);
            }
        }
        self.check(&before, &asks(0));
    }

    /// A client's packet: what must follow from what was in the table.
    fn asked(
        &mut self,
        before: &Table,
        connection: Option<Connection>,
        packet: &Packet,
        flags: u8,
    ) {
        let udp = packet.ip.protocol.0 == 17;
        let known = connection.filter(|connection| {
            let reopened = !udp && flags & SYN != 0 && is_reusable(connection.state);
            !is_over(&self.bench, connection) && !reopened
        });
        let outcome = self.bench.send(packet);
        let after = self.bench.table();
        let opens = udp || flags & (SYN | RST) == SYN;
        if known.is_none() && !opens {
            assert_eq!(outcome, pass(packet));
            assert_eq!(after.of(packet), None);
            return;
        }
        if known.is_none() && outcome.verdict == Verdict::Drop(Drop::TableFull) {
            assert_eq!(after.of(packet), None);
            let used = before.connections.len() + before.reverses.len();
            assert!(used >= 8, "the table is not full: {used} of 32");
            return;
        }
        let now_known = after
            .of(packet)
            .expect("what was forwarded is in the table");
        if let Some(known) = &known {
            assert_eq!(
                (known.slot, known.server),
                (now_known.slot, now_known.server)
            );
        }
        let name = self.bench.name(now_known.server);
        if name == 19 {
            assert_eq!(outcome, pass(packet));
        } else {
            assert_eq!(outcome.verdict, Verdict::Transmit);
            assert_eq!(outcome.frame[5], name, "the MAC address of its server");
        }
        let counted = &mut self.expected[now_known.server as usize];
        counted.connections += u64::from(known.is_none());
        counted.in_packets += 1;
        counted.in_bytes += packet.length() as u64;
    }

    /// A server's packet, likewise.
    fn answered(&mut self, known: Option<Connection>, reply: &Packet, service: SocketAddrV4) {
        let outcome = self.bench.send(reply);
        match known {
            Some(known) if known.reverse.is_some() && !is_over(&self.bench, &known) => {
                assert_eq!(outcome.packet().source(), service);
                let counted = &mut self.expected[known.server as usize];
                counted.out_packets += 1;
                counted.out_bytes += reply.length() as u64;
            }
            _ => assert_eq!(outcome, pass(reply)),
        }
    }

    /// What must hold after every event.
    fn check(&self, before: &Table, packet: &Packet) {
        let after = self.bench.table();
        for connection in &before.connections {
            let own = before.of(packet) == Some(connection);
            let dispensable =
                connection.state == TcpState::SynRecv as u8 || is_over(&self.bench, connection);
            assert!(
                own || dispensable || after.connections.contains(connection),
                "nothing was to happen to {connection:?}"
            );
        }
        for (server, expected) in (0..).zip(&self.expected) {
            assert_eq!(self.bench.traffic(server), *expected, "server {server}");
        }
    }
}

fn pass(packet: &Packet) -> Outcome {
    Outcome {
        verdict: Verdict::Pass,
        frame: packet.frame(),
    }
}

fn is_over(bench: &Bench, connection: &Connection) -> bool {
    // The kernel's clock may be a moment ahead of ours: see `age`.
    let waited = age(bench.now(), connection.stamp);
    waited > bench.ticks(DEFAULT_TIMEOUTS[usize::from(connection.state)])
}

#[test]
fn counts_stay_exact_through_any_sequence_of_events() {
    let mut model = Model::new();
    let events = vec((0..10u16, 0..6usize, event()), 1..80);
    for_all(60, events, |events| {
        model.reset();
        for (who, which, event) in events {
            model.happens(who, which, event);
        }
    });
}

#[test]
fn and_while_one_connection_goes_through_everything() {
    let mut model = Model::new();
    let events = vec((0..6usize, event()), 1..60);
    for_all(60, events, |events| {
        model.reset();
        for (which, event) in events {
            model.happens(0, which, event);
        }
    });
}

/// Sends that many of these frames, in an order that depends on `seed` only.
fn shuffled(frames: &[Vec<u8>], seed: u64, count: usize) -> impl Iterator<Item = &[u8]> {
    let mut state = seed;
    (0..count).map(move |_| {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        &frames[(state >> 33) as usize % frames.len()][..]
    })
}

/// A table of few buckets, in which all meet, and a service with the NAT servers 11 and 12.
fn crowded() -> (Bench, Served) {
    let mut bench = Bench::with_buckets(2);
    let web = bench.serve(
        Service::tcp(80)
            .server(Server::translated(11))
            .server(Server::translated(12)),
    );
    (bench, web)
}

/// What clients send to two TCP services.
fn requests(clients: Range<u16>, services: [&Served; 2]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for who in clients.map(client) {
        for service in services {
            for flags in [SYN, SYN, ACK, FIN | ACK, RST] {
                frames.push(Packet::tcp(who, service.address, flags).frame());
            }
        }
    }
    frames
}

/// What the servers 11 and 12 answer them.
fn replies(clients: Range<u16>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for who in clients.map(client) {
        for name in [11, 12] {
            for flags in [SYN | ACK, ACK, FIN | ACK, RST] {
                frames.push(answer(server(name, 80), who, flags).frame());
            }
        }
    }
    frames
}

/// Fails unless these servers had many connections.
fn assert_many_came(bench: &Bench, servers: Range<u32>) {
    let opened: u64 = servers
        .map(|server| bench.traffic(server).connections)
        .sum();
    assert!(opened > 1000, "only {opened} connections came and went");
}

#[test]
fn counts_stay_exact_while_cpus_get_into_each_others_way() {
    // As network cards spread packets: those of one client go to one CPU, its replies
    // perhaps to another.
    let (mut bench, web) = crowded();
    let direct = bench.serve(
        Service::tcp(81)
            .scheduler(Scheduler::Lc)
            .server(Server::direct(13)),
    );
    let (one, other) = (
        requests(0..12, [&web, &direct]),
        requests(12..24, [&web, &direct]),
    );
    let replies = replies(0..24);
    for round in 0..20 {
        std::thread::scope(|scope| {
            for frames in [&one, &other, &replies] {
                let bench = &bench;
                scope.spawn(move || bench.send_blindly(shuffled(frames, round, 2000)));
            }
        });
        let _ = bench.table();
    }
    assert_many_came(&bench, 0..3);
}

#[test]
fn counts_stay_exact_while_cpus_serve_the_same_clients_and_the_daemon_sweeps() {
    // Whoever opens, steps, ends, gives up, opens anew or sweeps meets another CPU that does
    // something with the same connection. Each tick ends all timeouts, so that there is much to
    // sweep.
    let (mut bench, web) = crowded();
    let direct = bench.serve(
        Service::tcp(81)
            .server(Server::direct(13))
            .server(Server::direct(14)),
    );
    let dns = bench.serve(Service::udp(53).server(Server::translated(15)));
    bench.timeouts(|timeouts| *timeouts = Timeouts::default());
    let clients = 0..8;
    let questions = clients
        .clone()
        .map(|who| Packet::udp(client(who), dns.address).frame());
    let mut frames = requests(clients.clone(), [&web, &direct]);
    frames.extend(replies(clients.clone()));
    frames.extend(questions);
    let mut swept = 0;
    for round in 0..20 {
        std::thread::scope(|scope| {
            let senders = [2 * round, 2 * round + 1].map(|seed| {
                let (bench, frames) = (&bench, &frames);
                scope.spawn(move || bench.send_blindly(shuffled(frames, seed, 4000)))
            });
            while !senders.iter().all(|sender| sender.is_finished()) {
                swept += bench.sweep();
            }
        });
        let _ = bench.table();
    }
    assert_many_came(&bench, 0..5);
    assert!(swept > 10, "only {swept} connections were swept away");
}

#[test]
fn bytes_count_from_the_ip_header_on_without_padding() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    open(&mut bench, CLIENT, web.address);
    let packet = segment(&web, ACK)
        .options(&[1; 8])
        .payload(&[7; 100])
        .padding(&[0; 9]);
    let _ = bench.send(&packet);
    let reply = answer(server(11, 80), CLIENT, ACK)
        .payload(&[7; 33])
        .padding(&[0; 9]);
    let _ = bench.send(&reply);
    let expected = Traffic {
        connections: 1,
        in_packets: 2,
        in_bytes: 40 + 148,
        out_packets: 1,
        out_bytes: 73,
    };
    assert_eq!(bench.traffic(web.servers[0]), expected);
}

#[test]
fn a_tunnelled_packet_counts_without_its_outer_header() {
    let (mut bench, web) = bench_with([Server::tunnelled(11)]);
    open(&mut bench, CLIENT, web.address);
    let expected = Traffic {
        connections: 1,
        in_packets: 1,
        in_bytes: 40,
        ..Traffic::default()
    };
    assert_eq!(bench.traffic(web.servers[0]), expected);
}

#[test]
fn each_cpu_counts_in_its_own_row() {
    let (mut bench, web) = bench_with([Server::direct(11), Server::direct(12)]);
    let server = web.servers[1];
    let cpus = cpus();
    for (&cpu, packets) in cpus.iter().zip(1..) {
        stay_on(cpu);
        for _ in 0..packets {
            let _ = bench.send(&segment(&web, SYN));
        }
    }
    for (&cpu, packets) in cpus.iter().zip(1..) {
        assert_eq!(
            bench.traffic_on(cpu, server).in_packets,
            packets,
            "CPU {cpu}"
        );
    }
}

#[test]
fn servers_count_for_themselves() {
    let mut bench = Bench::new();
    let mut service = Service::tcp(80);
    for name in 11..30 {
        service = service.server(Server::direct(name));
    }
    let web = bench.serve(service);
    for number in 0..38 {
        open(&mut bench, client(number), web.address);
    }
    for &server in &web.servers {
        assert_eq!(bench.traffic(server).connections, 2, "server {server}");
        assert_eq!(bench.load(server), (2, 0));
    }
}
