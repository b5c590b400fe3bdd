//! Changes that others make to the daemon's maps, links and pins are noticed, undone and logged.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData},
};
use lb_common::{
    layout::{Settings, interface::Interface},
    schedule::RosterLine,
    server::Server,
    service::{Service, ServiceKey},
};
use lb_dataplane::raw::{Parts, end};
use lb_lab::{client::Client, lab::Lab, topology::Topology, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

/// A key and a value of the map `services`, to be copied and overwritten.
type Key = [u8; size_of::<ServiceKey>()];
const SERVICE_BYTES: usize = size_of::<Service>();

fn start(topology: &Topology) -> (Lab, Director, Client) {
    let lab = Lab::realise(topology).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(3).unwrap();
    (lab, director, client)
}

fn pinned(director: &Director, path: &str) -> MapData {
    MapData::from_pin(director.pins().join(path)).unwrap()
}

/// Waits until the daemon's log has these words.
#[track_caller]
fn assert_logged(director: &Director, words: &str) {
    wait_until("it is logged", || {
        let log = director.log()?;
        ensure!(log.contains(words), "{words:?} is not in:\n{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_service_that_was_deleted_or_changed_in_the_map_is_written_again() {
    let (_lab, director, client) = start(&topology());
    let map = Map::HashMap(pinned(&director, "room-1/services"));
    let mut map: HashMap<_, Key, [u8; SERVICE_BYTES]> = map.try_into().unwrap();
    let entries = map.iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(entries.len(), 2);
    for (key, _) in &entries {
        map.remove(key).unwrap();
    }
    assert_logged(
        &director,
        &format!("tcp/{SERVICE} was deleted from the map"),
    );
    client.servers(3).unwrap();
    assert_eq!(map.iter().count(), 2);

    for (key, _) in &entries {
        map.insert(key, [0xff; SERVICE_BYTES], 0).unwrap();
    }
    assert_logged(&director, &format!("tcp/{SERVICE} was changed in the map"));
    client.servers(3).unwrap();

    let foreign = [10, 9, 8, 7, 0, 80, 6, 0];
    map.insert(foreign, entries[0].1, 0).unwrap();
    assert_logged(&director, "a service that is not ours");
    assert!(map.get(&foreign, 0).is_err());
}

#[test]
fn what_somebody_removed_from_the_maps_can_be_deleted_all_the_same() {
    let (_lab, director, _client) = start(&topology());
    let name = format!("lb-ctl service set tcp/{SERVICE} --name web > /dev/null");
    director.done(&name).unwrap();
    let services = Map::HashMap(pinned(&director, "room-1/services"));
    assert_eq!(remove_all::<[u8; SERVICE_BYTES]>(services), 2);
    director.done("ipvsadm -C").unwrap();
    assert_eq!(director.stats().unwrap().services, []);
}

/// Removes all entries of a map with services as keys. Returns their number.
fn remove_all<V: Pod>(map: Map) -> usize {
    let mut map: HashMap<_, Key, V> = map.try_into().unwrap();
    let keys = map.keys().collect::<Result<Vec<_>, _>>().unwrap();
    keys.iter().for_each(|key| map.remove(key).unwrap());
    keys.len()
}

#[test]
fn servers_and_rosters_that_were_overwritten_are_written_again() {
    let (_lab, director, client) = start(&topology());
    overwrite::<{ size_of::<Server>() }>(pinned(&director, "room-1/servers"));
    assert_logged(&director, "server 192.168.100.47:80 of tcp");
    client.servers(3).unwrap();
    overwrite::<{ size_of::<RosterLine>() }>(pinned(&director, "room-1/rosters"));
    assert_logged(&director, "the roster of tcp");
    client.servers(3).unwrap();
    let counters = director.stats().unwrap().services[0].counters;
    assert_eq!(counters.connections, 3 + 3 + 3);
}

/// Writes garbage to the first entries of an array map.
fn overwrite<const BYTES: usize>(map: MapData) {
    let mut map: Array<_, [u8; BYTES]> = Map::Array(map).try_into().unwrap();
    for index in 0..16 {
        map.set(index, [0xff; BYTES], 0).unwrap();
    }
}

#[test]
fn settings_that_were_overwritten_are_written_again() {
    let (_lab, director, client) = start(&topology());
    let parts = Parts::of(&Map::Array(pinned(&director, "settings"))).unwrap();
    let before = parts.settings.read(0).unwrap();

    parts.settings.write(0, Settings::default());
    assert_logged(&director, "the settings were changed");
    let now = parts.settings.read(0).unwrap();
    // The daemon may also log that a neighbour has changed.
    let route_epoch = now.route_epoch;
    assert_eq!(
        now,
        Settings {
            route_epoch,
            ..before
        }
    );

    for word in 0..parts.addresses.entries() {
        parts.addresses.write(word, 0);
    }
    assert_logged(&director, "the marks of addresses");
    client.servers(3).unwrap();

    for place in 0..parts.interfaces.entries() {
        parts.interfaces.write(place, Interface::default());
    }
    assert_logged(&director, "the interface at place");
    client.servers(3).unwrap();
}

#[test]
fn a_program_that_was_detached_is_attached_again() {
    let (_lab, director, client) = start(&topology());
    let links = fs::read_dir(director.pins()).unwrap().flatten();
    let mut links = links.filter(|pin| pin.file_name().to_string_lossy().starts_with("link-"));
    let link = links.next().unwrap().path();
    // As `bpftool link detach` does. The pin is removed, too.
    end(&link).unwrap();
    assert_logged(&director, "attaching anew");
    wait_until("the program is attached", || {
        director.attached("eth0")?.context("it is not")
    })
    .unwrap();
    client.servers(3).unwrap();
    assert!(link.exists());
}

#[test]
fn pins_that_were_deleted_are_made_again_and_no_packet_notices() {
    let (_lab, mut director, client) = start(&topology());
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    let program = director.program("eth0").unwrap();
    fs::remove_dir_all(director.pins()).unwrap();
    // The daemon holds the link open, so it outlives its pin.
    connection.get("/").unwrap();
    assert_eq!(director.program("eth0").unwrap(), program);
    assert_logged(&director, "its pin was gone");
    assert_logged(&director, "rosters was gone: pinned again");

    // The next daemon finds everything by the new pins.
    director.end(Signal::SIGKILL).unwrap();
    connection.get("/").unwrap();
    director.run("lb.yaml").unwrap();
    connection.get("/").unwrap();
    let counters = director.stats().unwrap().services[0].counters;
    assert_eq!(counters.connections, 3 + 1);
}

#[test]
fn an_interface_that_goes_away_and_comes_back_under_another_index_is_attached_to_again() {
    let topology = topology();
    let (mut lab, director, client) = start(&topology);
    let machine = topology.hosts.iter().find(|host| host.name == "director");
    lab.replug(machine.unwrap(), 0).unwrap();
    wait_until("the program is attached again", || {
        let attached = director
            .log()?
            .matches("eth0: XDP program attached")
            .count();
        ensure!(attached == 2, "{attached}");
        Ok(())
    })
    .unwrap();
    forget_the_director(&lab);
    wait_until("the service is there again", || client.servers(3)).unwrap();
    let links = fs::read_dir(director.pins()).unwrap().flatten();
    let links = links.filter(|pin| pin.file_name().to_string_lossy().starts_with("link-"));
    assert_eq!(links.count(), 1);
}

#[test]
fn an_interface_that_goes_down_and_up_and_gets_another_address_is_followed() {
    let (lab, _director, client) = start(&topology());
    let machine = lab.host("director").unwrap();
    machine.ip(["link set eth0 down"]).unwrap();
    assert!(client.connect_within(Duration::from_millis(20)).is_err());
    machine.ip(["link set eth0 up"]).unwrap();
    wait_until("the service is there again", || client.servers(3)).unwrap();

    machine
        .ip(["link set eth0 address 02:00:00:00:17:01"])
        .unwrap();
    forget_the_director(&lab);
    wait_until("the service is there again", || client.servers(3)).unwrap();
}

/// Clients would ask by ARP only after half a minute. A real director would announce its address.
fn forget_the_director(lab: &Lab) {
    for host in ["client", "web47", "web23"] {
        lab.host(host)
            .unwrap()
            .ip(["neigh flush dev eth0"])
            .unwrap();
    }
}

#[test]
fn bpffs_that_is_unmounted_is_mounted_again_and_no_packet_notices() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    director.command(&["detach"]).unwrap();
    director.end(Signal::SIGKILL).unwrap();
    director.run_with_own_bpffs("lb.yaml").unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    let pid = director.process().unwrap().to_string();
    let program = director.program("eth0").unwrap();
    // Also the one below.
    let unmount = "while umount --lazy /sys/fs/bpf 2> /dev/null; do :; done";
    let unmounted = std::process::Command::new("nsenter")
        .args(["--target", &pid, "--mount", "sh", "-c", unmount])
        .status();
    assert!(unmounted.unwrap().success());
    assert_logged(&director, "bpffs was unmounted");
    // Everything is pinned again, in the machine's own.
    let link = |director: &Director| {
        let pins = fs::read_dir(director.pins())?;
        let mut names = pins.flatten().map(|pin| pin.file_name());
        ensure!(names.any(|name| name.to_string_lossy().starts_with("link-")));
        Ok(())
    };
    wait_until("the link is pinned again", || link(&director)).unwrap();
    assert_eq!(director.program("eth0").unwrap(), program);
    connection.get("/").unwrap();
    director.end(Signal::SIGKILL).unwrap();
    director.run("lb.yaml").unwrap();
    connection.get("/").unwrap();
    client.servers(3).unwrap();
}
