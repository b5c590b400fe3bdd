//! The scenario of the kernel's IPVS self-test (`ipvs.sh` in `tools/testing/selftests`): a payload
//! of 32 bytes, sent by socat, arrives intact by DR, NAT and TUN. Client and real server are behind
//! different interfaces of the director. Only NAT needs a director that forwards.

use std::fs;

use anyhow::ensure;
use lb_lab::{
    lab::Lab,
    process::{Process, run},
    topology::{Host, Topology},
    wait::wait_until,
};
use lb_tests::director::Director;

const VIP: &str = "207.175.44.110";
const PAYLOAD: &str = "0123456789abcdefghijklmnopqrstuv";

fn topology(director: Host, server: Host) -> Topology {
    Topology::new(
        "self",
        [
            Host::new("client")
                .on("front", "10.0.0.2/24")
                .route(VIP, "10.0.0.1"),
            director
                .on("front", "10.0.0.1/24")
                .and("207.175.44.110/32")
                .on("back", "172.16.0.1/24"),
            server,
        ],
    )
}

fn director() -> Host {
    Host::new("director")
}

/// A server whose answers go directly to the client.
fn server() -> Host {
    Host::new("server")
        .on("back", "172.16.0.2/24")
        .on("front", "10.0.0.3/24")
}

#[track_caller]
fn assert_payload_arrives(topology: &Topology, method: &str) {
    let lab = Lab::realise(topology).unwrap();
    let director = Director::start(&lab, "interfaces: [eth0, eth1]\n").unwrap();
    director
        .done(&format!(
            "ipvsadm -A -t {VIP}:8080 -s rr && ipvsadm -a {method} -t {VIP}:8080 -r 172.16.0.2:8080"
        ))
        .unwrap();
    let arrived = director.path("arrived");
    let mut listener = lab.host("server").unwrap().command("socat");
    listener.args(["-d", "-d", "-u", "-4", "TCP-LISTEN:8080,reuseaddr"]);
    listener.arg(format!("OPEN:{},creat", arrived.display()));
    let mut listener = Process::start("socat", &mut listener).unwrap();
    listener.wait_for_output("listening on").unwrap();

    let sent = director.write("sent", PAYLOAD).unwrap();
    let mut sender = lab.host("client").unwrap().command("socat");
    sender.args(["-u", "-4", &format!("FILE:{}", sent.display())]);
    let output = run(sender.arg(format!("TCP:{VIP}:8080,connect-timeout=30"))).unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    wait_until("the payload has arrived", || {
        let arrived = fs::read_to_string(&arrived)?;
        ensure!(arrived == PAYLOAD, "{arrived:?}");
        Ok(())
    })
    .unwrap();
    let stats = director.done("ipvsadm -Ln --stats").unwrap();
    let service = stats.lines().nth(3).unwrap();
    assert_eq!(
        service[33..].split_whitespace().next(),
        Some("1"),
        "{stats}"
    );
}

#[test]
fn a_payload_arrives_by_direct_routing_without_forwarding() {
    let server = server().holds_silently(VIP);
    assert_payload_arrives(&topology(director(), server), "-g");
}

#[test]
fn a_payload_arrives_by_nat() {
    let server = Host::new("server")
        .on("back", "172.16.0.2/24")
        .gateway("172.16.0.1");
    assert_payload_arrives(&topology(director().forwards(), server), "-m");
}

#[test]
fn a_payload_arrives_by_tunnel_without_forwarding() {
    let server = server().decapsulates_for(VIP);
    assert_payload_arrives(&topology(director(), server), "-i");
}
