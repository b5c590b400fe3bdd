//! A director that was started with few services gets many, under traffic.

use std::{fmt::Write as _, fs, net::Ipv4Addr};

use aya::maps::{Array, Map, MapData};
use lb_lab::{lab::Lab, meanwhile::while_repeating};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
    tables::{Connection, Counters},
};
use nix::sys::signal::Signal;

const SERVICES: u32 = 10_000;
const SERVERS_EACH: u32 = 10;

const LONG: u64 = 12_000_000;
const STEP: u64 = 500_000;

/// A client that opens more may use a port again that the director still knows of the connection
/// before: then it is the same connection.
const MOST_OPENED: u64 = 12_000;

#[test]
fn a_director_that_started_small_takes_ten_thousand_services_while_packets_flow() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut download = client.connect().unwrap().download(LONG).unwrap();
    download.read(STEP).unwrap();
    director.write("many.yaml", &many(SERVICES)).unwrap();
    let mut opened = 1;
    let mut kept = client.connect().unwrap();
    opened += 1;
    let mut open = || {
        if opened < MOST_OPENED {
            client.servers(1).unwrap();
            opened += 1;
        } else {
            kept.get("/").unwrap();
        }
    };

    while_repeating(&mut [&mut open], || {
        let before = counters(&director);
        let path = director.path("many.yaml").display().to_string();
        let (_, plan) = director.timed(&["apply", &path]).unwrap();
        let lines = plan.lines().filter(|line| line.starts_with('+')).count();
        assert_eq!(lines as u32, SERVICES * (1 + SERVERS_EACH));
        let after = counters(&director);
        assert_not_less(&after, &before);
        download.read(STEP).unwrap();
        // With few services again, the maps keep their size.
        let path = director.path("lb.yaml").display().to_string();
        director.timed(&["apply", &path]).unwrap();
        assert_not_less(&counters(&director), &after);
    });

    assert_eq!(download.finish().unwrap(), LONG);
    assert_eq!(counters(&director).connections, opened);
    let rows = director.command(&["conns", "--json", "--limit", "1000000"]);
    let rows: Vec<Connection> = serde_json::from_str(&rows.unwrap()).unwrap();
    assert_eq!(rows.len() as u64, opened);
    let now = counters(&director);
    assert_eq!(now.active + now.inactive, opened);

    // The next daemon finds everything in the larger maps.
    director.end(Signal::SIGKILL).unwrap();
    client.servers(3).unwrap();
    director.run("lb.yaml").unwrap();
    assert_eq!(counters(&director).connections, opened + 3);
}

/// The state that a daemon leaves when it dies at a certain moment: packets use the larger maps
/// already, but the counters of the smaller ones are not carried over yet.
#[test]
fn a_move_to_a_larger_room_that_a_crash_interrupted_is_finished_by_the_next_daemon() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(5).unwrap();
    let old = director.pins().join("room-1");
    let maps = [
        "servers", "counters", "retired", "zeros", "services", "rosters",
    ]
    .map(|name| (name, MapData::from_pin(old.join(name)).unwrap()));
    let path = director.write("many.yaml", &many(1000)).unwrap();
    director.timed(&["apply", path.to_str().unwrap()]).unwrap();
    client.servers(3).unwrap();
    let before = counters(&director);
    assert_eq!(before.connections, 5 + 3);
    director.end(Signal::SIGKILL).unwrap();

    assert!(!old.exists());
    fs::create_dir(&old).unwrap();
    for (name, map) in &maps {
        map.pin(old.join(name)).unwrap();
    }
    let new = director.pins().join("room-2");
    let map = Map::Array(MapData::from_pin(new.join("counters")).unwrap());
    let mut carried: Array<_, [u64; 5]> = map.try_into().unwrap();
    let servers = MapData::from_pin(new.join("servers")).unwrap();
    let servers = servers.info().unwrap().max_entries();
    for place in carried.len() - servers..carried.len() {
        carried.set(place, [0; 5], 0).unwrap();
    }

    director.run("many.yaml").unwrap();
    // The last packet of a closed connection may arrive in between.
    let now = counters(&director);
    assert_not_less(&now, &before);
    assert_eq!(now.connections, before.connections);
    assert!(!old.exists());
}

/// `CONFIGURATION`, and many services with servers that no route leads to, so that the daemon does
/// not wait for ARP.
fn many(services: u32) -> String {
    let mut file = CONFIGURATION.to_owned();
    let (vips, servers) = (Ipv4Addr::new(10, 64, 0, 0), Ipv4Addr::new(10, 128, 0, 0));
    for service in 0..services {
        let vip = Ipv4Addr::from_bits(vips.to_bits() + service);
        writeln!(file, "  - address: {vip}:80\n    servers:").unwrap();
        for server in service * SERVERS_EACH..(service + 1) * SERVERS_EACH {
            let address = Ipv4Addr::from_bits(servers.to_bits() + server);
            writeln!(file, "      - {{address: {address}}}").unwrap();
        }
    }
    file
}

fn counters(director: &Director) -> Counters {
    let stats = director.stats().unwrap();
    stats.service(&format!("tcp/{SERVICE}")).unwrap().counters
}

#[track_caller]
fn assert_not_less(now: &Counters, before: &Counters) {
    assert!(
        now.connections >= before.connections
            && now.in_packets >= before.in_packets
            && now.in_bytes >= before.in_bytes,
        "{now:?} after {before:?}"
    );
}
