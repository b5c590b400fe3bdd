//! Real servers whose MAC address is not known, or has changed.

use std::{
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use lb_lab::{
    capture::{Capture, Kind},
    lab::Lab,
    meanwhile::while_repeating,
    topology::{Host, Topology},
    wait::{wait_at_most, wait_until},
};
use lb_tests::{
    director::Director,
    labs::{
        l1_nat_weighted,
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
    let told = "packets are still sent to the previous next hop";
    director.log_with(told).unwrap();
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

#[test]
fn a_server_that_does_not_answer_gets_no_new_connections_if_that_is_wanted() {
    let lab = Lab::realise(&topology()).unwrap();
    let file = format!("unreachable: skip\n{CONFIGURATION}");
    let director = Director::start(&lab, &file).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(3).unwrap();
    // As if it was unplugged: nobody answers for it.
    let unplugged = lab.host("web47").unwrap();
    unplugged.ip(["link set eth0 down"]).unwrap();
    wait_until("it gets no connections", || {
        let log = director.log()?;
        ensure!(log.contains("192.168.100.47 does not answer ARP"), "{log}");
        let served = client.servers(4)?;
        ensure!(served.iter().all(|name| name == "web23"), "{served:?}");
        Ok(())
    })
    .unwrap();
    // The weight that the operator gave stays, and is back as soon as the server is.
    let stats = director.stats().unwrap();
    let service = stats.service(&format!("tcp/{SERVICE}")).unwrap();
    assert_eq!(service.server("192.168.100.47:80").unwrap().weight, 2);
    unplugged.ip(["link set eth0 up"]).unwrap();
    wait_until("it gets connections again", || {
        let log = director.log()?;
        ensure!(log.contains("192.168.100.47: answers again"), "{log}");
        let served = client.servers(3)?;
        ensure!(served.iter().any(|name| name == "web47"), "{served:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_server_that_changes_its_mac_address_all_the_time_does_not_fill_the_log() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let machine = lab.host("director").unwrap();
    let replace = "neigh replace 192.168.100.47 dev eth0 nud reachable lladdr";
    for last in 0..100 {
        machine
            .ip([format!("{replace} 02:00:00:00:48:{last:02x}")])
            .unwrap();
    }
    machine.ip(["neigh flush dev eth0"]).unwrap();
    wait_until("both serve", || client.servers(3)).unwrap();
    let log = director.log().unwrap();
    let lines = log.matches("server 192.168.100.47: ").count();
    assert!((2..=5).contains(&lines), "{lines} lines:\n{log}");
}

#[test]
fn a_packet_that_is_dropped_because_its_next_hop_is_unknown_is_logged_with_its_server() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let service = format!("tcp/{SERVICE}");
    for server in ["192.168.100.47", "192.168.100.23"] {
        let drain = ["server", "drain", &service, server];
        director.command(&drain).unwrap();
    }
    let add = ["server", "add", &service, "192.168.100.99"];
    director.command(&add).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    wait_until("it is logged", || {
        let _ = client.connect_within(Duration::from_millis(20));
        let log = director.log()?;
        let line = "next hop unknown: server 192.168.100.99, service 192.168.100.11:80";
        ensure!(log.contains(line), "{log}");
        Ok(())
    })
    .unwrap();
}

/// Changes the MAC address without an announcement. The director has never asked for the client.
#[test]
fn a_nat_client_that_silently_got_another_ethernet_address_gets_its_replies_again() {
    let lab = Lab::realise(&l1_nat_weighted::topology()).unwrap();
    let _director = Director::start(&lab, l1_nat_weighted::CONFIGURATION).unwrap();
    let client = lab.client("client", l1_nat_weighted::SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    moves_silently(&lab, "172.16.10.21");
    connection.get("/").unwrap();
    wait_until("new ones are served", || client.servers(2)).unwrap();
}

/// Gives the client another MAC address. It has no reason to ask for the VIP by ARP, which would
/// tell the director.
fn moves_silently(lab: &Lab, vip: &str) {
    let moving = lab.host("client").unwrap();
    moving
        .ip([
            format!("link set eth0 address {NEW_MAC}"),
            knows_the_director(lab, vip),
        ])
        .unwrap();
}

fn knows_the_director(lab: &Lab, vip: &str) -> String {
    let [a, b, c, d, e, f] = lab.host("director").unwrap().mac("eth0").unwrap();
    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    format!("neigh replace {vip} lladdr {mac} dev eth0 nud permanent")
}

#[test]
fn datagrams_from_made_up_addresses_do_not_keep_a_nat_client_from_being_followed() {
    let vip = "172.16.10.21";
    let lab = Lab::realise(&Topology::new(
        "trickle",
        [
            Host::new("client").on("outside", "172.16.10.22/16"),
            Host::new("attacker").on("outside", "172.16.10.66/16"),
            Host::new("director")
                .on("outside", "172.16.10.21/16")
                .on("inside", "192.168.100.17/24")
                .forwards(),
            Host::new("echo")
                .on("inside", "192.168.100.39/24")
                .gateway("192.168.100.17")
                .udp("0.0.0.0:80"),
        ],
    ))
    .unwrap();
    let configuration = "
interfaces: [eth0, eth1]
services:
  - {address: \"172.16.10.21:80\", protocol: udp, forward: nat, servers: [{address: 192.168.100.39}]}
";
    let _director = Director::start(&lab, configuration).unwrap();
    let client = lab.client("client", &format!("{vip}:80")).unwrap();
    client.ask(5000, "hello").unwrap();
    // It has a network full of addresses, and answers ARP for none of them.
    let attacker = lab.host("attacker").unwrap();
    attacker
        .sysctls(&[("ipv4/conf/all/arp_ignore", "8")])
        .unwrap();
    attacker
        .ip([
            "route add local 172.16.128.0/17 dev lo".to_owned(),
            knows_the_director(&lab, vip),
        ])
        .unwrap();
    let mut count = 0u16;
    let mut send = || {
        count += 1;
        let [a, b] = count.to_be_bytes();
        let made_up = Ipv4Addr::new(172, 16, 128 | a, b);
        let socket = attacker.inside(|| Ok(UdpSocket::bind((made_up, 0))?));
        socket.unwrap().send_to(b"hello", (vip, 80)).unwrap();
        thread::sleep(Duration::from_millis(50));
    };
    (0..20).for_each(|_| send());
    while_repeating(&mut [&mut send], || {
        client.ask(5000, "hello").unwrap();
        moves_silently(&lab, vip);
        let soon = Duration::from_secs(20);
        wait_at_most(soon, "the client is followed", || client.ask(5000, "hello")).unwrap();
        client.ask(0, "hello").unwrap();
    });
}
