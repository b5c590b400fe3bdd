//! Real servers whose MAC address is not known, or has changed.

use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
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
