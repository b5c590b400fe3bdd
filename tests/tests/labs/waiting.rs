//! The daemon does not wait for slow servers. An edit that fails leaves nothing behind.

use std::{thread, time::Duration};

use aya::maps::{Array, Map, MapData};
use lb_common::server::Server;
use lb_lab::{
    lab::Lab,
    wait::wait_until,
    xdp::{self, Verdict},
};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};

const SERVER_BYTES: usize = size_of::<Server>();

#[test]
fn nobody_waits_while_a_new_server_is_asked_for_that_does_not_answer() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let service = format!("tcp/{SERVICE}");
    let edit = |verb: &str, server: &str, options: &[&str]| {
        let command = ["server", verb, &service, server];
        director.command(&[&command, options].concat()).unwrap()
    };
    // Addresses in the servers' subnet that no machine has. The daemon asks for one for a second
    // and a half; a machine that needs longer for the rest gets another chance.
    let mut absent = (90..=99).map(|number| format!("192.168.100.{number}"));
    let attempt = |absent: String| {
        let (said, waited) = thread::scope(|scope| {
            let slow = scope.spawn(|| edit("add", &absent, &["--weight", "0"]));
            // The kernel has an incomplete entry: the daemon has asked for the server.
            wait_until("somebody asks for the new server", || {
                let machine = lab.host("director")?;
                let mut ip = machine.command("ip");
                let asked = lb_lab::process::run(ip.args(["neigh", "show", "to", &absent]))?;
                anyhow::ensure!(asked.stdout.contains("INCOMPLETE"), "{asked:?}");
                Ok(())
            })
            .unwrap();
            edit("drain", "192.168.100.47", &[]);
            edit("del", "192.168.100.47", &[]);
            assert_eq!(client.servers(2).unwrap(), ["web23"; 2]);
            director.stats().unwrap();
            let waited = slow.is_finished();
            (slow.join().unwrap(), waited)
        });
        if waited {
            edit("del", &absent, &[]);
            edit("add", "192.168.100.47", &[]);
        }
        (!waited).then_some((absent, said))
    };
    let (absent, said) = absent.find_map(attempt).expect("an edit that did not wait");
    let warning = format!("! {service}: server {absent}:80 cannot be reached yet");
    assert!(said.contains(&warning), "{said}");

    // It gets connections as soon as it answers ARP.
    edit("drain", "192.168.100.23", &[]);
    edit("set", &absent, &["--weight", "1"]);
    assert!(client.connect_within(Duration::from_millis(50)).is_err());
    let late = lab.host("web47").unwrap();
    late.ip([format!("address add {absent}/24 dev eth0")])
        .unwrap();
    wait_until("the server that was absent serves", || client.get("/")).unwrap();
    assert_eq!(client.servers(1).unwrap(), ["web47"]);
}

#[test]
fn an_apply_that_fails_at_its_end_leaves_nothing_behind() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let machine = lab.host("director").unwrap();
    machine
        .ip(["link add taken type veth peer name other"])
        .unwrap();
    let _foreign = xdp::attach(machine, "taken", Verdict::Send).unwrap();
    let file = format!(
        "{}
  - address: 192.168.100.12:80
    servers:
      - {{address: 192.168.100.23}}
",
        CONFIGURATION
            .replace("[eth0]", "[eth0, taken]")
            .replace("weight: 2", "weight: 7")
    );
    let path = director.write("bad.yaml", &file).unwrap();
    let before = servers_in_the_map(&director);
    let output = director.try_command(&["apply", path.to_str().unwrap()]);
    let output = output.unwrap();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("taken already carries"),
        "{output:?}"
    );
    assert_eq!(servers_in_the_map(&director), before);
    let path = director.path("lb.yaml").display().to_string();
    let plan = director.command(&["apply", "--dry-run", &path]).unwrap();
    assert_eq!(plan.trim(), "nothing to do");
}

/// The server entries that are in use, as bytes.
fn servers_in_the_map(director: &Director) -> Vec<(u32, [u8; SERVER_BYTES])> {
    let map = MapData::from_pin(director.pins().join("room-1/servers")).unwrap();
    let map: Array<_, [u8; SERVER_BYTES]> = Map::Array(map).try_into().unwrap();
    let entries = (0..map.len()).map(|index| (index, map.get(&index, 0).unwrap()));
    entries
        .filter(|(_, entry)| *entry != [0; SERVER_BYTES])
        .collect()
}
