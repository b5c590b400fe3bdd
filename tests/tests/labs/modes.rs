//! The XDP program in native and in generic mode.

use lb_lab::{content, lab::Lab, topology::Topology};
use lb_tests::{
    director::{Director, Mode},
    labs::{l1_nat_weighted, l3_direct_one_subnet, l7_tunnel},
};

#[test]
fn nat_works_in_native_mode() {
    let lab = l1_nat_weighted::topology();
    serves(
        Mode::Native,
        &lab,
        l1_nat_weighted::CONFIGURATION,
        l1_nat_weighted::SERVICE,
    );
}

#[test]
fn nat_works_in_generic_mode() {
    let lab = l1_nat_weighted::topology();
    serves(
        Mode::Generic,
        &lab,
        l1_nat_weighted::CONFIGURATION,
        l1_nat_weighted::SERVICE,
    );
}

#[test]
fn dr_works_in_native_mode() {
    let lab = l3_direct_one_subnet::topology();
    let configuration = l3_direct_one_subnet::CONFIGURATION;
    serves(
        Mode::Native,
        &lab,
        configuration,
        l3_direct_one_subnet::SERVICE,
    );
}

#[test]
fn dr_works_in_generic_mode() {
    let lab = l3_direct_one_subnet::topology();
    let configuration = l3_direct_one_subnet::CONFIGURATION;
    serves(
        Mode::Generic,
        &lab,
        configuration,
        l3_direct_one_subnet::SERVICE,
    );
}

#[test]
fn tun_works_in_native_mode() {
    let lab = l7_tunnel::topology();
    serves(
        Mode::Native,
        &lab,
        l7_tunnel::CONFIGURATION,
        l7_tunnel::SERVICE,
    );
}

#[test]
fn tun_works_in_generic_mode() {
    let lab = l7_tunnel::topology();
    serves(
        Mode::Generic,
        &lab,
        l7_tunnel::CONFIGURATION,
        l7_tunnel::SERVICE,
    );
}

/// What one end of a veth pair sends by native XDP is lost unless the other end has an XDP program
/// or GRO. The director cannot see the other end.
#[test]
fn auto_does_not_attach_natively_to_a_veth() {
    let lab = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    let configuration = l3_direct_one_subnet::CONFIGURATION;
    let director = Director::start_in(Mode::Auto, &lab, configuration).unwrap();
    assert_eq!(director.attached("eth0").unwrap(), Some(Mode::Generic));
}

/// Fails unless every server of a service answers, and full segments arrive both ways.
fn serves(mode: Mode, topology: &Topology, configuration: &str, service: &str) {
    let lab = Lab::realise(topology).unwrap();
    let director = Director::start_in(mode, &lab, configuration).unwrap();
    let attached = director.attached("eth0").unwrap();
    assert_eq!(attached, Some(mode));
    let client = lab.client("client", service).unwrap();
    let mut servers = client.servers(10).unwrap();
    servers.sort();
    servers.dedup();
    assert_eq!(servers.len(), 2);
    let body = content::bytes(0, 200_000);
    for _ in 0..3 {
        let reply = client.connect().unwrap().post("/echo", body.clone());
        assert!(reply.unwrap().body == body);
    }
}
