//! Crashes at the daemon's steps that need no load.

use std::{ops::Range, sync::atomic::Ordering::SeqCst};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use lb_common::{
    layout::{slot::Bucket, word::Word},
    server::MOST_SERVERS,
    state::FREE,
};
use lb_dataplane::raw::Mapped;
use lb_lab::{
    client::Client,
    lab::Lab,
    meanwhile::while_repeating,
    topology::{Host, Topology},
    wait::wait_until,
};
use lb_tests::{director::Director, tables::Counters};
use nix::sys::signal::Signal;

use crate::{
    field::recount,
    steps::{When, steps},
};

const SERVICE: &str = "172.16.0.1:53";

/// One NAT service with connections that expire soon.
const CONFIGURATION: &str = "
interfaces: [eth0, eth1]
connections: 1000
timeouts: {udp: 1s}
services:
  - address: 172.16.0.1:53
    protocol: udp
    forward: nat
    servers: [{address: 192.168.100.21}]
";

fn topology() -> Topology {
    Topology::new(
        "alone",
        [
            Host::new("client").on("outside", "172.16.0.2/24"),
            Host::new("director")
                .on("outside", "172.16.0.1/24")
                .on("inside", "192.168.100.1/24")
                .forwards(),
            Host::new("server")
                .on("inside", "192.168.100.21/24")
                .gateway("192.168.100.1")
                .udp("0.0.0.0:53"),
        ],
    )
}

fn steps_at(when: When) -> impl Iterator<Item = &'static str> {
    steps()
        .filter(move |(_, at)| *at == when)
        .map(|(step, _)| step)
}

#[test]
fn a_crash_while_the_packet_path_is_made_leaves_nothing_in_the_way_of_the_next_start() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    let after_links = ["link-made", "link-pinned"].into_iter();
    for step in steps_at(When::FirstStart).chain(after_links) {
        director.end(Signal::SIGTERM).unwrap();
        director.command(&["detach"]).unwrap();
        director.crash_at_start(step, "lb.yaml").unwrap();
        director.run("lb.yaml").unwrap();
        client.ask(0, step).unwrap();
        wait_until("servers count what is in the table", || recount(&director)).unwrap();
    }
}

#[test]
fn a_crash_while_the_packet_path_is_taken_down_leaves_nothing_that_is_half_there() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    const PINS: Range<u8> = 1..4;
    let unpinned = steps_at(When::Detach).flat_map(|step| PINS.map(move |n| format!("{step}:{n}")));
    let links = ["link-detached", "link-unpinned"].map(str::to_owned);
    for step in unpinned.chain(links) {
        client.ask(0, &step).unwrap();
        director.end(Signal::SIGTERM).unwrap();
        director.crash_command(&step, &["detach"]).unwrap();
        director.run("lb.yaml").unwrap();
        client.ask(0, &step).unwrap();
        wait_until("servers count what is in the table", || recount(&director)).unwrap();
    }
}

#[test]
fn a_crash_while_an_expired_connection_is_taken_away_leaves_no_trace_of_it() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    for step in steps_at(When::Expiry) {
        crash_at_expiry(&mut director, &client, step);
        director.run("lb.yaml").unwrap();
        wait_until(step, || nothing_is_left(&director)).unwrap();
        director.end(Signal::SIGTERM).unwrap();
    }
}

#[test]
fn a_wrong_count_is_put_right_while_packets_pass_and_after_a_crash() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    // As somebody could who writes into the map.
    miscount(&director, 3).unwrap();
    while_busy(&client, || {
        wait_until("the count is right again", || recount(&director)).unwrap();
    });
    for step in steps_at(When::Mending) {
        director.end(Signal::SIGTERM).unwrap();
        director.run_until(step, "lb.yaml").unwrap();
        miscount(&director, 3).unwrap();
        while_busy(&client, || director.wait_for_crash().unwrap());
        director.run("lb.yaml").unwrap();
        wait_until(step, || nothing_is_left(&director)).unwrap();
    }
}

/// Opens one connection after the other meanwhile.
fn while_busy(client: &Client, act: impl FnOnce()) {
    let mut ask = || {
        client.ask(0, "another connection").unwrap();
    };
    while_repeating(&mut [&mut ask], act);
}

/// Lets the only server count so many active connections more than it has.
fn miscount(director: &Director, by: u64) -> Result<()> {
    let loads = MapData::from_pin(director.pins().join("loads"))?;
    let loads = Mapped::<u64>::blocks::<[u64; MOST_SERVERS as usize]>("loads", &Map::Array(loads))?;
    let load = loads.word(0, 0).context("the map has no entry")?;
    load.fetch_add(by, SeqCst);
    Ok(())
}

#[test]
fn a_crash_while_a_change_is_taken_back_that_cannot_be_done_leaves_nothing_of_it() {
    let (_lab, mut director) = lab();
    let before = director.command(&["save", "-"]).unwrap();
    // No native XDP program can be attached to the loopback interface.
    let refused = CONFIGURATION.replace("eth1", "eth1, lo") + "  - address: 172.16.0.1:54\n";
    let file = director.write("refused.yaml", &refused).unwrap();
    let apply = ["apply", &*file.to_string_lossy()];
    for step in steps_at(When::Refused) {
        director.end(Signal::SIGTERM).unwrap();
        director.run_until(step, "lb.yaml").unwrap();
        director.try_command(&apply).unwrap();
        director.wait_for_crash().unwrap();
        director.run("lb.yaml").unwrap();
        assert_eq!(director.command(&["save", "-"]).unwrap(), before, "{step}");
    }
    // Without a crash, too.
    let output = director.try_command(&apply).unwrap();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(director.command(&["save", "-"]).unwrap(), before);
}

fn lab() -> (Lab, Director) {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    (lab, director)
}

fn crash_at_expiry(director: &mut Director, client: &Client, step: &str) {
    let _ = director.end(Signal::SIGTERM);
    director.run_until(step, "lb.yaml").unwrap();
    client.ask(0, step).unwrap();
    director.wait_for_crash().unwrap();
}

/// Fails unless every server counts 0 connections and no slot of the table is taken.
fn nothing_is_left(director: &Director) -> Result<()> {
    let services = director.stats()?.services;
    for server in services.iter().flat_map(|service| &service.servers) {
        let Counters {
            active, inactive, ..
        } = server.counters;
        ensure!((active, inactive) == (0, 0), "{server:?}");
    }
    let table = MapData::from_pin(director.pins().join("connections"))?;
    let table: Array<_, Bucket> = Array::try_from(Map::Array(table))?;
    for bucket in table.iter() {
        let words = bucket?.slots.map(|slot| Word::from_bits(slot.word));
        let taken = words.iter().find(|word| word.state() != FREE);
        ensure!(taken.is_none(), "{taken:?}");
    }
    Ok(())
}
