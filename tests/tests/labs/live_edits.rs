//! Live edits while connections of other servers carry data.

use lb_lab::{
    client::{Client, Download},
    lab::Lab,
    topology::{Host, Topology},
};
use lb_tests::{
    director::Director,
    labs::{l1_nat_weighted, l3_direct_one_subnet},
};

/// More than all buffers between a server and a client that does not read can hold.
const LONG: u64 = 12_000_000;
const STEP: u64 = 500_000;

#[test]
fn edits_of_one_server_break_no_connection_of_another_under_dr() {
    let mut topology = l3_direct_one_subnet::topology();
    let newcomer = l3_direct_one_subnet::server("newcomer", "192.168.100.24/24");
    topology.hosts.push(newcomer);
    edits_break_nothing(
        &topology,
        l3_direct_one_subnet::CONFIGURATION,
        l3_direct_one_subnet::SERVICE,
        "dr",
    );
}

#[test]
fn edits_of_one_server_break_no_connection_of_another_under_nat() {
    let mut topology = l1_nat_weighted::topology();
    let newcomer = Host::new("newcomer").on("inside", "192.168.100.24/24");
    let newcomer = newcomer.gateway("192.168.100.17").http("0.0.0.0:80");
    topology.hosts.push(newcomer);
    edits_break_nothing(
        &topology,
        l1_nat_weighted::CONFIGURATION,
        l1_nat_weighted::SERVICE,
        "nat",
    );
}

#[test]
fn apply_changes_what_a_file_says_and_a_dry_run_only_tells() {
    let lab = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    let director = Director::start(&lab, l3_direct_one_subnet::CONFIGURATION).unwrap();
    let client = lab.client("client", l3_direct_one_subnet::SERVICE).unwrap();
    let mut downloads = [client.connect().unwrap().download(LONG).unwrap()];
    let weights = || {
        let stats = director.stats().unwrap();
        let service = stats.service("tcp/192.168.100.11:80").unwrap().clone();
        service
            .servers
            .iter()
            .map(|server| server.weight)
            .collect::<Vec<_>>()
    };
    assert_eq!(weights(), [2, 1]);

    let changed = l3_direct_one_subnet::CONFIGURATION.replacen("weight: 2", "weight: 0", 1);
    let changed = director.write("changed.yaml", &changed).unwrap();
    let changed = changed.to_string_lossy();
    let told = director.command(&["apply", "--dry-run", &changed]).unwrap();
    assert!(told.contains("192.168.100.47"), "{told}");
    assert_eq!(weights(), [2, 1]);
    go_on(&mut downloads);

    director.command(&["apply", &changed]).unwrap();
    assert_eq!(weights(), [0, 1]);
    assert_eq!(client.servers(3).unwrap(), ["web23"; 3]);
    go_on(&mut downloads);
}

fn edits_break_nothing(topology: &Topology, configuration: &str, service: &str, method: &str) {
    let lab = Lab::realise(topology).unwrap();
    let director = Director::start(&lab, configuration).unwrap();
    let client = lab.client("client", service).unwrap();
    let mut downloads: Vec<_> = (0..6)
        .map(|_| client.connect().unwrap().download(LONG).unwrap())
        .collect();
    let service = format!("tcp/{service}");
    let edit = |verb: &str, options: &[&str]| {
        let command = ["server", verb, &service, "192.168.100.24"];
        director.command(&[&command, options].concat()).unwrap();
    };

    edit("add", &["--weight", "1", "--forward", method]);
    go_on(&mut downloads);
    assert!(reaches_newcomer(&client));

    edit("set", &["--weight", "20"]);
    go_on(&mut downloads);
    let served = client.servers(16).unwrap();
    let share = served.iter().filter(|name| *name == "newcomer").count();
    assert!(share >= 8, "{share} of {served:?}");

    let mut connections = (0..16).map(|_| client.connect().unwrap());
    let mut lingering = connections
        .find_map(|mut connection| {
            let reply = connection.get("/").unwrap();
            (reply.server == "newcomer").then_some(connection)
        })
        .unwrap();
    edit("drain", &[]);
    go_on(&mut downloads);
    assert!(!reaches_newcomer(&client));
    assert_eq!(lingering.get("/").unwrap().server, "newcomer");

    edit("del", &[]);
    go_on(&mut downloads);
    assert!(!reaches_newcomer(&client));
    for download in downloads {
        assert_eq!(download.finish().unwrap(), LONG);
    }
}

/// Fails unless every transfer makes progress and none is complete.
fn go_on(downloads: &mut [Download]) {
    for download in downloads {
        assert!(download.read(STEP).unwrap() < LONG);
    }
}

fn reaches_newcomer(client: &Client) -> bool {
    let served = client.servers(12).unwrap();
    served.iter().any(|name| name == "newcomer")
}
