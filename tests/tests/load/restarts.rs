//! The daemon ends and starts again, under load.

use lb_tests::{labs::load::Configuration, upgrade};
use nix::sys::signal::Signal;

use crate::field::Field;

#[test]
fn no_connection_notices_that_the_daemon_goes_and_comes_back() {
    let mut field = Field::new();
    let mut wanted = Configuration::default();
    field.check(&wanted);

    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        field.director.end(signal).unwrap();
        field.load.goes_on().unwrap();
        field.director.run("lb.yaml").unwrap();
        field.check(&wanted);
    }

    // Each service gets another server and other weights.
    wanted.servers = [
        vec![(3, 1), (1, 2), (2, 1)],
        vec![(1, 3), (2, 1), (3, 1)],
        vec![(1, 1), (3, 2), (2, 2)],
    ];
    restart_with(&mut field, &wanted);
    // A server with lasting connections is drained, and one with short connections.
    wanted.servers = [
        vec![(3, 0), (1, 2), (2, 0)],
        vec![(1, 3), (2, 0), (3, 0)],
        vec![(1, 0), (3, 0), (2, 2)],
    ];
    restart_with(&mut field, &wanted);
    // The one with short connections is removed.
    wanted.servers = [
        vec![(1, 2), (2, 0)],
        vec![(1, 3), (2, 0)],
        vec![(1, 0), (2, 2)],
    ];
    restart_with(&mut field, &wanted);

    let (before, digest) = programs(&field);
    let next = field.director.path("lb-ctl-next");
    upgrade::write(field.director.binary(), &next).unwrap();
    field.director.end(Signal::SIGTERM).unwrap();
    field.director.upgrade(next);
    field.director.run("lb.yaml").unwrap();
    let (after, another) = programs(&field);
    assert!(before.iter().all(|program| !after.contains(program)));
    assert_ne!(digest, another);
    field.check(&wanted);
    field.end();
}

fn restart_with(field: &mut Field, wanted: &Configuration) {
    field.director.end(Signal::SIGTERM).unwrap();
    field.director.write("lb.yaml", &wanted.file()).unwrap();
    field.director.run("lb.yaml").unwrap();
    field.check(wanted);
}

/// The ids of the programs on both interfaces, and the digests of their instructions.
fn programs(field: &Field) -> ([u32; 2], String) {
    let numbers = ["eth0", "eth1"].map(|interface| field.director.program(interface).unwrap());
    (numbers, field.director.digest("eth0").unwrap())
}
