//! TCP states, pick for pick as IPVS has them, and how long a connection lasts in each.
//!
//! The expected sequences are captures from Linux 6.1 and 6.12 with the real ip_vs.

use lb_common::state::{KIND, Kind, UDP, timeouts::DEFAULT_TIMEOUTS};
use lb_tests::{
    dataplane::{Bench, Connection, Served, Server, Service, Verdict},
    packets::{ACK, CLIENT, DIRECTOR, FIN, PSH, Packet, RST, SYN},
};

use crate::support::{SERVER_SIDE, answer, assert_untouched, bench_with, segment, server};

/// By IPVS's number (UDP: the next one), with the timeouts in seconds that IPVS has.
const STATES: [(&str, u32); 12] = [
    ("NONE", 0),
    ("ESTABLISHED", 900),
    ("SYN_SENT", 120),
    ("SYN_RECV", 60),
    ("FIN_WAIT", 120),
    ("TIME_WAIT", 120),
    ("CLOSE", 10),
    ("CLOSE_WAIT", 60),
    ("LAST_ACK", 30),
    ("LISTEN", 120),
    ("SYNACK", 120),
    ("UDP", 300),
];

/// The name of a state byte.
fn name(state: u8) -> &'static str {
    let number = if state == UDP { 11 } else { state & !KIND };
    STATES[usize::from(number)].0
}

/// The state byte of a name.
fn number(state: &str) -> u8 {
    let number = STATES.iter().position(|(name, _)| *name == state);
    stored(number.expect("a state") as u8)
}

/// The state byte of an IPVS number.
fn stored(number: u8) -> u8 {
    if number == 11 {
        UDP
    } else {
        Kind::Tcp as u8 | number
    }
}

/// One segment as the captures write it: `SYN`, or `S:SA` from the server.
fn step(bench: &mut Bench, served: &Served, written: &str) {
    let (from_server, flags) = match written.strip_prefix("S:") {
        Some(flags) => (true, flags),
        None => (false, written),
    };
    let flags = match flags {
        "SYN" => SYN,
        "SA" => SYN | ACK,
        "ACK" => ACK,
        "FIN" => FIN | ACK,
        "RST" => RST,
        "NULL" => PSH,
        other => panic!("no such segment: {other}"),
    };
    let packet = if from_server {
        answer(server(11, 80), CLIENT, flags)
    } else {
        segment(served, flags)
    };
    assert_eq!(bench.send(&packet).verdict, Verdict::Transmit, "{written}");
}

fn connection(bench: &Bench) -> Connection {
    let mut connections = bench.table().connections;
    assert_eq!(connections.len(), 1);
    connections.remove(0)
}

/// `SYN_RECV 1,0`: the state, the server's active and inactive connections.
fn seen(bench: &Bench, served: &Served) -> String {
    let (active, inactive) = bench.load(served.servers[0]);
    format!("{} {active},{inactive}", name(connection(bench).state))
}

/// Plays a capture: `segments` separated by commas, and what was seen after each by bars.
#[track_caller]
fn assert_capture(server: Server, segments: &str, expected: &str) {
    let (mut bench, web) = bench_with([server]);
    let segments: Vec<&str> = segments.split(',').collect();
    let observed: Vec<String> = segments
        .iter()
        .map(|segment| {
            step(&mut bench, &web, segment);
            seen(&bench, &web)
        })
        .collect();
    assert_eq!(observed.join(" | "), expected, "after {segments:?}");
}

#[test]
fn clients_alone_by_dr_and_tun() {
    for method in [Server::direct, Server::tunnelled] {
        for (segments, expected) in [
            (
                "SYN,ACK,FIN,ACK",
                "SYN_RECV 1,0 | ESTABLISHED 1,0 | FIN_WAIT 0,1 | FIN_WAIT 0,1",
            ),
            ("SYN,ACK,RST", "SYN_RECV 1,0 | ESTABLISHED 1,0 | CLOSE 0,1"),
            ("SYN,RST", "SYN_RECV 1,0 | SYN_RECV 1,0"),
            ("SYN,SYN", "SYN_RECV 1,0 | SYN_RECV 1,0"),
        ] {
            assert_capture(method(11), segments, expected);
        }
    }
}

#[test]
fn clients_alone_by_nat() {
    for (segments, expected) in [
        (
            "SYN,ACK,FIN,ACK",
            "SYN_RECV 1,0 | ESTABLISHED 1,0 | CLOSE_WAIT 0,1 | CLOSE_WAIT 0,1",
        ),
        ("SYN,ACK,RST", "SYN_RECV 1,0 | ESTABLISHED 1,0 | CLOSE 0,1"),
        ("SYN,RST", "SYN_RECV 1,0 | SYN_RECV 1,0"),
        ("SYN,SYN", "SYN_RECV 1,0 | SYN_RECV 1,0"),
    ] {
        assert_capture(Server::translated(11), segments, expected);
    }
}

#[test]
fn an_ack_opens_nothing() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        let (mut bench, web) = bench_with([method(11)]);
        assert_untouched(&mut bench, "an ACK", &segment(&web, ACK).frame());
        assert!(bench.table().connections.is_empty());
    }
}

#[test]
fn whole_nat_connections() {
    for (segments, expected) in [
        (
            "SYN,S:SA,ACK,FIN,S:ACK,S:FIN,ACK",
            "SYN_RECV 1,0 | SYN_RECV 1,0 | ESTABLISHED 1,0 | CLOSE_WAIT 0,1 | CLOSE_WAIT 0,1 \
             | TIME_WAIT 0,1 | TIME_WAIT 0,1",
        ),
        (
            "SYN,S:SA,ACK,S:FIN,ACK,FIN,S:ACK",
            "SYN_RECV 1,0 | SYN_RECV 1,0 | ESTABLISHED 1,0 | FIN_WAIT 0,1 | FIN_WAIT 0,1 \
             | TIME_WAIT 0,1 | TIME_WAIT 0,1",
        ),
        (
            "SYN,S:SA,ACK,S:RST",
            "SYN_RECV 1,0 | SYN_RECV 1,0 | ESTABLISHED 1,0 | CLOSE 0,1",
        ),
        ("SYN,S:RST", "SYN_RECV 1,0 | CLOSE 0,1"),
    ] {
        assert_capture(Server::translated(11), segments, expected);
    }
}

/// The kernel's tables, `net/netfilter/ipvs/ip_vs_proto_tcp.c`, in its own shorthand: for
/// each event a row, in it for each state from NONE to SYNACK the next one.
const TABLES: [(&str, [(&str, &str); 4]); 3] = [
    (
        "input",
        [
            ("SYN", "SR ES ES SR SR SR SR SR SR SR SR"),
            ("FIN", "CL CW SS TW TW TW CL CW LA LI TW"),
            ("ACK", "ES ES SS ES FW TW CL CW CL LI ES"),
            ("RST", "CL CL CL SR CL CL CL CL LA LI SR"),
        ],
    ),
    (
        "output",
        [
            ("S:SA", "SS ES SS SR SS SS SS SS SS LI SR"),
            ("S:FIN", "TW FW SS TW FW TW CL TW LA LI TW"),
            ("S:ACK", "ES ES SS ES FW TW CL CW LA ES ES"),
            ("S:RST", "CL CL SS CL CL TW CL CL CL CL CL"),
        ],
    ),
    (
        "input only",
        [
            ("SYN", "SR ES ES SR SR SR SR SR SR SR SR"),
            ("FIN", "CL FW SS TW FW TW CL CW LA LI TW"),
            ("ACK", "ES ES SS ES FW TW CL CW CL LI ES"),
            ("RST", "CL CL CL SR CL CL CL CL LA LI CL"),
        ],
    ),
];

const SHORTHAND: [&str; 11] = [
    "NO", "ES", "SS", "SR", "FW", "TW", "CL", "CW", "LA", "LI", "SA",
];

/// Leaves one connection, in this state.
fn put_into(bench: &mut Bench, served: &Served, state: u8) {
    bench.forget();
    step(bench, served, "SYN");
    bench.put(&connection(bench), state);
}

#[test]
fn every_segment_moves_every_state_as_in_the_kernels_tables() {
    for (table, rows) in TABLES {
        let method = if table == "input only" {
            Server::direct
        } else {
            Server::translated
        };
        let (mut bench, web) = bench_with([method(11)]);
        for (event, row) in rows {
            for (number, next) in (0u8..).zip(row.split(' ')) {
                let from = stored(number);
                let reused = event == "SYN" && ["TIME_WAIT", "CLOSE"].contains(&name(from));
                if number == 0 || reused {
                    continue; // never stored; opened anew
                }
                put_into(&mut bench, &web, from);
                step(&mut bench, &web, event);
                let state = SHORTHAND[usize::from(connection(&bench).state & !KIND)];
                assert_eq!(state, next, "{table}: {event} in {}", name(from));
                let active = ["ES", "SS", "SR", "SA"].contains(&next);
                let expected = if active { (1, 0) } else { (0, 1) };
                assert_eq!(
                    bench.load(web.servers[0]),
                    expected,
                    "{next} after {}",
                    name(from)
                );
            }
        }
    }
}

#[test]
fn a_segment_without_flags_closes_what_is_there() {
    for method in [Server::direct, Server::translated] {
        let (mut bench, web) = bench_with([method(11)]);
        for state in (1..=10).map(stored) {
            put_into(&mut bench, &web, state);
            step(&mut bench, &web, "NULL");
            assert_eq!(
                name(connection(&bench).state),
                "CLOSE",
                "from {}",
                name(state)
            );
        }
    }
}

#[test]
fn of_several_flags_reset_counts_most_then_syn_then_fin() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    for (flags, expected) in [
        (RST | SYN | FIN | ACK, "CLOSE"),
        (SYN | FIN | ACK, "ESTABLISHED"),
        (FIN | ACK, "FIN_WAIT"),
        (FIN, "FIN_WAIT"),
        (ACK | PSH, "ESTABLISHED"),
    ] {
        put_into(&mut bench, &web, number("ESTABLISHED"));
        let _ = bench.send(&segment(&web, flags));
        assert_eq!(
            name(connection(&bench).state),
            expected,
            "flags {flags:#04x}"
        );
    }
}

#[test]
fn udp_has_one_state_and_is_never_active() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        let mut bench = Bench::new();
        let dns = bench.serve(Service::udp(53).server(method(11)));
        for _ in 0..2 {
            let _ = bench.send(&Packet::udp(CLIENT, dns.address));
            assert_eq!(seen(&bench, &dns), "UDP 0,1");
        }
        let _ = bench.send(&Packet::udp(server(11, 53), CLIENT).hop(SERVER_SIDE, DIRECTOR));
        assert_eq!(seen(&bench, &dns), "UDP 0,1");
    }
}

#[test]
fn a_connection_lasts_as_long_as_its_state_says() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    for (number, (name, timeout)) in (0..).zip(STATES) {
        let state = stored(number);
        assert_eq!(DEFAULT_TIMEOUTS[usize::from(state)], timeout, "{name}");
        if matches!(name, "NONE" | "UDP") {
            continue; // never stored; see `reuse`
        }
        let mut after = |seconds| {
            put_into(&mut bench, &web, state);
            bench.age(&connection(&bench), seconds);
            bench.send(&segment(&web, ACK)).verdict
        };
        assert_eq!(
            after(timeout - 1),
            Verdict::Transmit,
            "{name} after {} s",
            timeout - 1
        );
        assert_eq!(after(timeout), Verdict::Pass, "{name} after {timeout} s");
    }
}

#[test]
fn the_timeout_in_use_is_that_of_the_settings() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let still_there = |bench: &mut Bench| {
        put_into(bench, &web, number("ESTABLISHED"));
        let connection = connection(bench);
        bench.age(&connection, 500);
        bench.send(&segment(&web, ACK)).verdict == Verdict::Transmit
    };
    let [at_499, at_502] = [499, 502].map(|seconds| bench.ticks(seconds));
    assert!(still_there(&mut bench));
    bench.timeouts(|timeouts| timeouts.0[usize::from(number("ESTABLISHED"))] = at_499);
    assert!(!still_there(&mut bench));
    bench.timeouts(|timeouts| timeouts.0[usize::from(number("ESTABLISHED"))] = at_502);
    assert!(still_there(&mut bench));
}

#[test]
fn a_connection_lives_to_the_last_tick_of_its_timeout() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let timeout = bench.ticks(900);
    for (waited, expected) in [(timeout, Verdict::Transmit), (timeout + 1, Verdict::Pass)] {
        // The clock may tick on meanwhile; then try again.
        let verdict = loop {
            put_into(&mut bench, &web, number("ESTABLISHED"));
            let slot = connection(&bench).slot;
            let before = bench.now();
            bench.edit_slot(slot, |slot| {
                slot.word = slot.word & !0xFFFF_FFFF | u64::from(before.wrapping_sub(waited));
            });
            let verdict = bench.send(&segment(&web, ACK)).verdict;
            if bench.now() == before {
                break verdict;
            }
        };
        assert_eq!(verdict, expected, "after {waited} ticks");
    }
}

#[test]
fn every_packet_starts_the_timeout_anew() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    for flags in [ACK, SYN, FIN | ACK, PSH | ACK] {
        put_into(&mut bench, &web, number("ESTABLISHED"));
        let before = connection(&bench);
        bench.age(&before, 800);
        let sent = bench.now();
        let _ = bench.send(&segment(&web, flags));
        let stamp = connection(&bench).stamp;
        assert!((sent..=bench.now()).contains(&stamp), "flags {flags:#04x}");
    }
}

#[test]
fn a_stamp_from_the_future_does_not_expire() {
    // Another CPU's clock was read a moment later.
    let (mut bench, web) = bench_with([Server::direct(11)]);
    put_into(&mut bench, &web, number("ESTABLISHED"));
    let slot = connection(&bench).slot;
    bench.edit_slot(slot, |slot| slot.word += 100);
    assert_eq!(bench.send(&segment(&web, ACK)).verdict, Verdict::Transmit);
}
