//! The packet path outlives the daemon.

use lb_lab::{client::Client, lab::Lab};
use lb_tests::{
    director::Director,
    labs::{
        l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
        l7_tunnel,
    },
};
use nix::sys::signal::Signal;

const LONG: u64 = 12_000_000;
const STEP: u64 = 500_000;

#[test]
fn a_killed_daemon_takes_no_connection_along_and_a_new_one_adopts_them() {
    outlives(Signal::SIGKILL);
}

#[test]
fn a_stopped_daemon_takes_no_connection_along_and_a_new_one_adopts_them() {
    outlives(Signal::SIGTERM);
}

fn outlives(signal: Signal) {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut download = client.connect().unwrap().download(LONG).unwrap();
    download.read(STEP).unwrap();
    client.servers(4).unwrap();

    director.end(signal).unwrap();
    download.read(STEP).unwrap();
    client.servers(5).unwrap();

    director.run("lb.yaml").unwrap();
    assert!(download.read(STEP).unwrap() < LONG);
    client.servers(5).unwrap();
    assert_eq!(download.finish().unwrap(), LONG);
    let stats = director.stats().unwrap();
    let counters = stats.service("tcp/172.16.10.21:80").unwrap().counters;
    assert_eq!(counters.connections, 1 + 4 + 5 + 5);
    assert_eq!(director.connections().unwrap().len(), 1 + 4 + 5 + 5);
}

#[test]
fn detach_stops_forwarding_at_once_also_while_the_daemon_runs() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let said = director.command(&["detach"]).unwrap();
    assert!(said.contains("ending the daemon"), "{said}");
    assert!(said.contains("eth0, eth1"), "{said}");
    assert_eq!(director.attached("eth0").unwrap(), None);
    assert_eq!(director.attached("eth1").unwrap(), None);
}

#[test]
fn detach_names_what_is_attached_whoever_wanted_it() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    // The servers are behind the other one.
    let one = CONFIGURATION.replace("[eth0, eth1]", "[eth0]");
    assert_ne!(one, CONFIGURATION);
    director.write("one.yaml", &one).unwrap();
    let path = director.path("one.yaml").display().to_string();
    director.command(&["apply", &path]).unwrap();
    let said = director.command(&["detach"]).unwrap();
    assert!(said.contains("from eth0, eth1"), "{said}");

    // One that is gone has nothing to be removed from.
    let machine = lab.host("director").unwrap();
    machine
        .ip(["link add gone0 type veth peer name gone1"])
        .unwrap();
    let three = CONFIGURATION.replace("[eth0, eth1]", "[eth0, eth1, gone0]");
    director.write("three.yaml", &three).unwrap();
    director.run("three.yaml").unwrap();
    director.end(Signal::SIGKILL).unwrap();
    let socket = director.path(&format!("{}.sock", director.instance()));
    assert!(socket.exists());
    machine.ip(["link del gone0"]).unwrap();
    let said = director.command(&["detach"]).unwrap();
    assert!(said.contains("from eth0, eth1;"), "{said}");
    assert!(!socket.exists());
    assert!(!director.pins().exists());
}

#[test]
fn detach_leaves_nothing_behind() {
    let lab = Lab::realise(&l7_tunnel::topology()).unwrap();
    let mut director = Director::start(&lab, l7_tunnel::CONFIGURATION).unwrap();
    let client = lab.client("client", l7_tunnel::SERVICE).unwrap();
    client.get("/").unwrap();
    assert!(director.pins().exists());
    director.end(Signal::SIGTERM).unwrap();
    let said = director.command(&["detach"]).unwrap();
    assert!(
        said.contains("had no daemon") && said.contains("eth0"),
        "{said}"
    );
    assert!(!director.pins().exists());
    assert!(
        !director
            .path(&format!("{}.lock", director.instance()))
            .exists()
    );
    assert_eq!(director.attached("eth0").unwrap(), None);
    assert!(refused(&client));
    let said = director.command(&["detach"]).unwrap();
    assert!(said.contains("nothing to do"), "{said}");
}

/// The director's own network stack answers: no program listens there.
fn refused(client: &Client) -> bool {
    let error = client.connect().map(drop).unwrap_err();
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// `ip netns exec` gives the command a `/sys` of its own, which ends with the command.
#[test]
fn a_director_that_ip_netns_exec_started_outlives_its_daemon_too() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    director.end(Signal::SIGTERM).unwrap();
    director.command(&["detach"]).unwrap();

    director.run_apart("lb.yaml").unwrap();
    let mut download = client.connect().unwrap().download(LONG).unwrap();
    download.read(STEP).unwrap();
    director.end(Signal::SIGKILL).unwrap();
    assert!(director.pins().exists());
    assert!(director.attached("eth0").unwrap().is_some());
    download.read(STEP).unwrap();
    client.servers(2).unwrap();

    director.run_apart("lb.yaml").unwrap();
    assert_eq!(download.finish().unwrap(), LONG);
    let stats = director.stats().unwrap();
    let counters = stats.service("tcp/172.16.10.21:80").unwrap().counters;
    assert_eq!(counters.connections, 1 + 2);
    director.command(&["detach"]).unwrap();
    assert!(!director.pins().exists());
}
