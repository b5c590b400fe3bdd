//! The marks of the address filter: packets to addresses without a mark are none of the director's.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use aya::maps::{Map, MapData};
use lb_common::address_filter;
use lb_dataplane::raw::Parts;
use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

fn start() -> (Lab, Director) {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    (lab, director)
}

fn parts(director: &Director) -> Parts {
    let map = MapData::from_pin(director.pins().join("settings")).unwrap();
    Parts::of(&Map::Array(map)).unwrap()
}

/// The marks that are set: words, and bits in them.
fn marks(director: &Director) -> BTreeSet<(u32, u64)> {
    let words = parts(director).addresses;
    let bits = (0..words.entries()).flat_map(|word| {
        let bits = words.read(word).unwrap();
        let bits = (0..u64::BITS).map(move |bit| bits & 1 << bit);
        bits.filter(|&bit| bit != 0).map(move |bit| (word, bit))
    });
    bits.collect()
}

fn place(address: [u8; 4]) -> (u32, u64) {
    address_filter::place(u32::from_ne_bytes(address))
}

/// Waits until exactly these marks are set.
#[track_caller]
fn assert_marks(director: &Director, expected: &BTreeSet<(u32, u64)>) {
    // A request that is refused makes the daemon free what is not in use. It would do so within
    // half a minute anyway.
    let nothing = director.try_command(&["service", "del", "tcp/10.255.0.1:80"]);
    assert_ne!(nothing.unwrap().code, Some(0));
    wait_until("the marks are as they should be", || {
        let marks = marks(director);
        ensure!(marks == *expected, "{marks:?} and not {expected:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_mark_of_an_address_is_cleared_with_its_last_service() {
    let (_lab, mut director) = start();
    let servers = [[192, 168, 100, 39], [192, 168, 100, 23]];
    let before: BTreeSet<_> = [[172, 16, 10, 21]]
        .iter()
        .chain(&servers)
        .map(|&address| place(address))
        .collect();
    assert_marks(&director, &before);

    // Two addresses that share a mark.
    let first = [10, 9, 0, 1];
    let others = (0..=u16::MAX).map(|n| [10, 8, (n >> 8) as u8, n as u8]);
    let second = { others }.find(|&other| place(other) == place(first));
    let second = second.expect("one with the same mark");
    let text = |[a, b, c, d]: [u8; 4]| format!("{a}.{b}.{c}.{d}");
    let (one, two) = (text(first), text(second));
    let mut with = before.clone();
    with.extend([place(first), place([192, 168, 100, 99])]);
    director
        .done(&format!(
            "for vip in {one} {two}; do
                ipvsadm -A -t $vip:80
                ipvsadm -a -t $vip:80 -r 192.168.100.99 -m
            done"
        ))
        .unwrap();
    assert_marks(&director, &with);
    director.done(&format!("ipvsadm -D -t {one}:80")).unwrap();
    assert_marks(&director, &with);

    // A daemon that crashed has left one mark, and has not come to another.
    director.end(Signal::SIGKILL).unwrap();
    let words = parts(&director).addresses;
    let (word, bit) = place([10, 7, 7, 7]);
    words.write(word, words.read(word).unwrap() | bit);
    let (word, bit) = place(servers[0]);
    words.write(word, words.read(word).unwrap() & !bit);
    director.run("lb.yaml").unwrap();
    assert_marks(&director, &with);
    director.done(&format!("ipvsadm -D -t {two}:80")).unwrap();
    assert_marks(&director, &before);

    // Ten thousand, and none of them stays.
    director
        .done(
            "ipvsadm -C
            for c in $(seq 0 39); do for d in $(seq 1 250); do
                echo \"-A -t 10.9.$c.$d:80 -s rr\"
                echo \"-a -t 10.9.$c.$d:80 -r 192.168.100.99:80 -m\"
            done; done | ipvsadm -R
            ipvsadm -C",
        )
        .unwrap();
    assert_marks(&director, &BTreeSet::new());
}

#[test]
fn the_mark_of_a_removed_nat_server_stays_as_long_as_its_connections() {
    let (lab, director) = start();
    director.done("ipvsadm --set 3 3 3").unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let connections = [0; 5].map(|_| client.connect().unwrap());
    let served = connections.into_iter().map(|mut connection| {
        let server = connection.get("/").unwrap().server;
        (server, connection)
    });
    let (mut others, _removed): (Vec<_>, Vec<_>) =
        served.partition(|(server, _)| server == "web23");
    let service = format!("tcp/{SERVICE}");
    let delete = ["server", "del", &service, "192.168.100.39"];
    director.command(&delete).unwrap();
    let mark = place([192, 168, 100, 39]);
    let mut is_over = || -> Result<bool> {
        // As long as a server has connections, the daemon looks for expired ones often.
        for (_, connection) in &mut others {
            connection.get("/")?;
        }
        let is_marked = marks(&director).contains(&mark);
        let connections = director.connections()?;
        let is_its = |server: &str| server.starts_with("192.168.100.39:");
        let is_used = connections.iter().any(|row| is_its(&row.server));
        assert!(is_marked || !is_used);
        Ok(!is_marked && !is_used)
    };
    assert!(!is_over().unwrap());
    wait_until("the connections end, and the mark is cleared", || {
        ensure!(is_over()?, "not yet");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_daemon_that_dies_between_a_server_and_its_mark_leaves_none_to_the_next() {
    let (_lab, mut director) = start();
    let before = marks(&director);
    for step in ["server-forgotten", "address-cleared"] {
        director.end(Signal::SIGKILL).unwrap();
        director.run_until(step, "lb.yaml").unwrap();
        director
            .done(
                "ipvsadm -A -t 10.9.0.1:80
                ipvsadm -a -t 10.9.0.1:80 -r 192.168.100.99 -m
                ipvsadm -D -t 10.9.0.1:80",
            )
            .unwrap();
        // The refused request makes it free what is not in use.
        let refused = ["service", "del", "tcp/10.255.0.1:80"];
        director.try_command(&refused).unwrap();
        director.wait_for_crash().unwrap();
        director.run("lb.yaml").unwrap();
        assert_marks(&director, &before);
    }
}
