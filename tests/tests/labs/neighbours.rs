//! Real servers whose MAC address is not known, or has changed.

use std::time::Instant;

use anyhow::ensure;
use lb_lab::{
    capture::{Capture, Kind},
    lab::Lab,
    wait::wait_until,
};
use lb_tests::{
    director::Director,
    labs::{
        l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
        l7_tunnel,
    },
};
use nix::sys::signal::Signal;

const NEW_MAC: &str = "02:00:00:00:47:01";

#[test]
fn a_server_that_is_not_in_the_neighbour_table_is_reached() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(3).unwrap();
    let neighbours = lab.host("director").unwrap();
    neighbours.ip(["neigh flush dev eth0"]).unwrap();
    client.servers(3).unwrap();
}

#[test]
fn a_server_that_announces_another_ethernet_address_is_followed() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(3).unwrap();
    let moving = lab.host("web47").unwrap();
    moving
        .sysctls(&[("ipv4/conf/eth0/arp_notify", "1")])
        .unwrap();
    moving
        .ip([format!("link set eth0 address {NEW_MAC}")])
        .unwrap();
    let served = wait_until("the server is found again", || client.servers(3)).unwrap();
    assert!(served.iter().any(|name| name == "web47"), "{served:?}");
}

#[test]
fn a_server_that_does_not_answer_a_daemon_that_starts_is_sent_to_as_before() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connections = [client.connect().unwrap(), client.connect().unwrap()];
    director.end(Signal::SIGTERM).unwrap();
    servers_ignore_arp(&lab, "8");
    let neighbours = lab.host("director").unwrap();
    neighbours.ip(["neigh flush dev eth0"]).unwrap();
    director.run("lb.yaml").unwrap();
    let log = director.log().unwrap();
    assert!(log.contains("packets go where they went before"), "{log}");
    for connection in &mut connections {
        connection.get("/").unwrap();
    }
    client.servers(3).unwrap();

    // They answer again, with another MAC address, and are found.
    servers_ignore_arp(&lab, "1");
    let moving = lab.host("web47").unwrap();
    moving
        .ip([format!("link set eth0 address {NEW_MAC}")])
        .unwrap();
    wait_until("the server is found again", || client.servers(3)).unwrap();
}

/// Sets the kernel's `arp_ignore`; 8 answers no request.
fn servers_ignore_arp(lab: &Lab, how_much: &str) {
    for name in ["web47", "web23"] {
        let server = lab.host(name).unwrap();
        let setting = ("ipv4/conf/all/arp_ignore", how_much);
        server.sysctls(&[setting]).unwrap();
    }
}

/// Changes the MAC address without an announcement, as when a machine is replaced. IPVS would
/// depend on the kernel's neighbour table, which asks again when an entry is old. The lab makes
/// entries grow old fast.
#[test]
fn a_server_that_silently_got_another_ethernet_address_is_found_again() {
    let lab = Lab::realise(&topology()).unwrap();
    let aging = "ipv4/neigh/eth0/base_reachable_time_ms";
    let probing = "ipv4/neigh/eth0/delay_first_probe_time";
    let neighbours = lab.host("director").unwrap();
    neighbours
        .sysctls(&[(aging, "500"), (probing, "1")])
        .unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(3).unwrap();
    let moving = lab.host("web47").unwrap();
    moving
        .ip([format!("link set eth0 address {NEW_MAC}")])
        .unwrap();
    wait_until("the server is found again", || client.servers(3)).unwrap();
}

/// A probe every five seconds keeps what is known fresh. More would be a nuisance to the network.
#[test]
fn each_next_hop_is_asked_by_arp_every_few_seconds_however_many_servers_are_behind_it() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut capture = lab.capture("director", "eth0").unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let next_hops = ["192.168.100.47", "192.168.100.23"];
    assert_asked_every_few_seconds(&mut capture, &next_hops);

    let lab = Lab::realise(&l7_tunnel::topology()).unwrap();
    let mut capture = lab.capture("director", "eth0").unwrap();
    let _director = Director::start(&lab, l7_tunnel::CONFIGURATION).unwrap();
    assert_asked_every_few_seconds(&mut capture, &["192.168.100.1"]);
}

/// Waits until all have been asked some times, and looks at the time between.
#[track_caller]
fn assert_asked_every_few_seconds(capture: &mut Capture, next_hops: &[&str]) {
    let mut asked = |times: usize| {
        wait_until("all were asked", || {
            let packets = capture.packets()?.iter().filter(|packet| packet.sent);
            let requests: Vec<_> = packets.map(|packet| packet.kind).collect();
            for next_hop in next_hops {
                let request = Kind::ArpRequest(next_hop.parse()?);
                let count = requests.iter().filter(|&&kind| kind == request).count();
                ensure!(count >= times, "{next_hop}: {count}");
            }
            Ok(requests.len())
        })
        .unwrap()
    };
    // The first ones find out how the servers are reached.
    let (before, begin) = (asked(2), Instant::now());
    let more = asked(4) - before;
    let seconds = begin.elapsed().as_secs_f64();
    let most = next_hops.len() as f64 * (seconds / 4.0 + 1.0);
    assert!((more as f64) < most, "{more} requests in {seconds} s");
}
