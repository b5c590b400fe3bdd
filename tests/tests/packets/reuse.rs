//! When a client's port is used again, and when a connection is too old to count.

use lb_common::state::tcp::TcpState;
use lb_tests::{
    dataplane::{Bench, Connection, Served, Server, Service, Verdict},
    packets::{ACK, CLIENT, DIRECTOR, FIN, Packet, RST, SYN, VIP},
};

use crate::support::{SERVER_SIDE, answer, assert_untouched, bench_with, client, segment, server};

/// Two servers behind rr, so that an opened connection goes to the one whose turn it is: the
/// first to .12, the second to .11.
fn bench(method: fn(u8) -> Server) -> (Bench, Served) {
    bench_with([method(11), method(12)])
}

fn connection(bench: &Bench) -> Connection {
    let table = bench.table();
    assert_eq!(
        table.connections.len(),
        1,
        "and nothing is left of an older one"
    );
    assert_eq!(
        table.reverses.len(),
        usize::from(table.connections[0].reverse.is_some())
    );
    table.connections[0].clone()
}

const SYN_RECV: u8 = TcpState::SynRecv as u8;
const ESTABLISHED: u8 = TcpState::Established as u8;
const FIN_WAIT: u8 = TcpState::FinWait as u8;
const TIME_WAIT: u8 = TcpState::TimeWait as u8;
const CLOSE: u8 = TcpState::Close as u8;

/// Plays segments, then a SYN: the state before it, and the server after it.
fn then_syn(bench: &mut Bench, served: &Served, segments: &[(bool, u8)]) -> (u8, u8, u8) {
    for &(from_server, flags) in segments {
        let packet = if from_server {
            answer(server(12, 80), CLIENT, flags)
        } else {
            segment(served, flags)
        };
        assert_eq!(bench.send(&packet).verdict, Verdict::Transmit);
    }
    let before = connection(bench).state;
    assert_eq!(bench.send(&segment(served, SYN)).verdict, Verdict::Transmit);
    let after = connection(bench);
    (before, after.state, bench.name(after.server))
}

// IPVS with conn_reuse_mode=1, captured.

#[test]
fn a_syn_opens_a_closed_connection_anew() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        let (mut bench, web) = bench(method);
        let seen = then_syn(
            &mut bench,
            &web,
            &[(false, SYN), (false, ACK), (false, RST)],
        );
        assert_eq!(seen, (CLOSE, SYN_RECV, 11));
        assert_eq!(bench.traffic(web.servers[1]).connections, 1);
        assert_eq!(bench.traffic(web.servers[0]).connections, 1);
    }
}

#[test]
fn and_one_that_waits_for_its_end() {
    let (mut bench, web) = bench(Server::translated);
    let segments = [
        (false, SYN),
        (true, SYN | ACK),
        (false, ACK),
        (false, FIN),
        (true, FIN),
    ];
    let seen = then_syn(&mut bench, &web, &segments);
    assert_eq!(seen, (TIME_WAIT, SYN_RECV, 11));
}

#[test]
fn but_not_one_that_is_half_closed() {
    for method in [Server::direct, Server::tunnelled] {
        let (mut bench, web) = bench(method);
        let seen = then_syn(
            &mut bench,
            &web,
            &[(false, SYN), (false, ACK), (false, FIN)],
        );
        assert_eq!(seen, (FIN_WAIT, SYN_RECV, 12), "it goes to the same server");
        assert_eq!(bench.traffic(web.servers[1]).connections, 1);
    }
}

#[test]
fn nor_one_that_lives() {
    for (segments, state) in [
        (&[(false, SYN)][..], SYN_RECV),
        (&[(false, SYN), (false, ACK)], ESTABLISHED),
    ] {
        let (mut bench, web) = bench(Server::direct);
        assert_eq!(then_syn(&mut bench, &web, segments), (state, state, 12));
    }
}

#[test]
fn other_segments_of_a_closed_connection_go_where_they_went() {
    let (mut bench, web) = bench(Server::direct);
    for flags in [SYN, ACK, RST, ACK, FIN | ACK, RST] {
        assert_eq!(bench.send(&segment(&web, flags)).verdict, Verdict::Transmit);
    }
    assert_eq!(bench.name(connection(&bench).server), 12);
}

#[test]
fn an_expired_connection_is_opened_anew_by_a_syn() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        for flags in [SYN, ACK] {
            let (mut bench, web) = bench(method);
            let _ = bench.send(&segment(&web, SYN));
            let _ = bench.send(&segment(&web, flags));
            let old = connection(&bench);
            bench.age(&old, 900);
            assert_eq!(bench.send(&segment(&web, SYN)).verdict, Verdict::Transmit);
            let new = connection(&bench);
            assert_eq!((bench.name(new.server), new.state), (11, SYN_RECV));
            assert_eq!(bench.load(old.server), (0, 0));
        }
    }
}

#[test]
fn other_segments_of_an_expired_connection_pass_and_end_it() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        for flags in [ACK, FIN | ACK, RST, SYN | RST, 0] {
            let (mut bench, web) = bench(method);
            let _ = bench.send(&segment(&web, SYN));
            let old = connection(&bench);
            bench.age(&old, 60);
            assert_untouched(&mut bench, "too late", &segment(&web, flags).frame());
            assert_eq!(bench.table(), Default::default());
        }
    }
}

#[test]
fn an_expired_udp_connection_is_opened_anew_by_any_datagram() {
    let mut bench = Bench::new();
    let dns = bench.serve(
        Service::udp(53)
            .server(Server::translated(11))
            .server(Server::translated(12)),
    );
    let packet = Packet::udp(CLIENT, dns.address);
    assert_eq!(bench.pick(&packet), 12);
    assert_eq!(bench.pick(&packet), 12);
    let old = connection(&bench);
    bench.age(&old, 299);
    assert_eq!(bench.pick(&packet), 12);
    bench.age(&old, 300);
    assert_eq!(bench.pick(&packet), 11);
    let _ = connection(&bench);
    let late = Packet::udp(server(12, 53), CLIENT).hop(SERVER_SIDE, DIRECTOR);
    assert_untouched(&mut bench, "the old server's answer", &late.frame());
}

#[test]
fn an_expired_connection_of_a_withdrawn_service_is_over() {
    let (mut bench, web) = bench(Server::direct);
    let _ = bench.send(&segment(&web, SYN));
    bench.withdraw(&web);
    // Connections outlive their service, as in IPVS …
    assert_eq!(bench.send(&segment(&web, ACK)).verdict, Verdict::Transmit);
    // … but no new ones come.
    let other = segment(&web, SYN).sent_from(client(1));
    assert_untouched(&mut bench, "a new client", &other.frame());
    let old = connection(&bench);
    bench.age(&old, 900);
    assert_untouched(&mut bench, "a SYN", &segment(&web, SYN).frame());
    assert_eq!(bench.table(), Default::default());
}

#[test]
fn a_connection_that_cannot_open_anew_is_ended_all_the_same() {
    let (mut bench, mut web) = bench_with([Server::direct(11)]);
    for flags in [SYN, ACK, RST] {
        let _ = bench.send(&segment(&web, flags));
    }
    let server = web.servers[0];
    bench.reweigh(&mut web, server, 0);
    let outcome = bench.send(&segment(&web, SYN));
    assert_eq!(
        outcome.verdict,
        Verdict::Answer(lb_common::drops::Drop::NoServer)
    );
    assert_eq!(bench.table(), Default::default());
    assert_eq!(web.address.ip(), &VIP);
}
