//! Crashes after each of the daemon's steps, under load.

use std::{fmt::Write, fs};

use lb_tests::{director::Director, labs::load::Configuration};
use nix::sys::signal::Signal;

use crate::{
    field::Field,
    steps::{When, steps},
};

#[test]
fn a_crash_at_any_step_breaks_nothing_and_the_next_start_completes_what_was_asked_for() {
    let mut field = Field::new();
    let mut number = 0;
    let mut servers = [9000, 17_000, 25_000, 33_500, 50_000].into_iter();
    let mut wanted = configuration(number);
    field.director.end(Signal::SIGTERM).unwrap();
    field.director.write("lb.yaml", &wanted.file()).unwrap();
    field.director.run("lb.yaml").unwrap();
    for (step, when) in steps() {
        match when {
            When::Start => {
                field.director.end(Signal::SIGKILL).unwrap();
                field.director.crash_at_start(step, "lb.yaml").unwrap();
            }
            When::News(event) => {
                field.director.end(Signal::SIGKILL).unwrap();
                field.director.run_until(step, "lb.yaml").unwrap();
                field.lab.host("director").unwrap().ip([event]).unwrap();
                field.director.wait_for_crash().unwrap();
            }
            When::Change => {
                drain(&field);
                // A daemon with another file records what the file says, which is one of the
                // steps.
                field.director.end(Signal::SIGKILL).unwrap();
                field.director.run("drained.yaml").unwrap();
                field.director.end(Signal::SIGKILL).unwrap();
                field.director.run_until(step, "drained.yaml").unwrap();
                number += 1;
                wanted = configuration(number);
                let file = field.director.write("lb.yaml", &wanted.file()).unwrap();
                let apply = ["apply", &*file.to_string_lossy()];
                // The result is not checked: the daemon crashes before it answers, or just after.
                field.director.try_command(&apply).unwrap();
                field.director.wait_for_crash().unwrap();
            }
            When::Growth => {
                field.director.end(Signal::SIGKILL).unwrap();
                field.director.run_until(step, "lb.yaml").unwrap();
                // Each needs larger maps than the ones before.
                let servers = servers.next().unwrap();
                let more = wanted.file() + &many(servers);
                let file = field.director.write("more.yaml", &more).unwrap();
                let apply = ["apply", &*file.to_string_lossy()];
                field.director.try_command(&apply).unwrap();
                field.director.wait_for_crash().unwrap();
            }
            When::Unpinned => {
                field.director.end(Signal::SIGKILL).unwrap();
                field.director.run_until(step, "lb.yaml").unwrap();
                unpin(&field.director);
                field.director.wait_for_crash().unwrap();
                unpin(&field.director);
                field.director.crash_at_start(step, "lb.yaml").unwrap();
            }
            When::FirstStart | When::Refused | When::Expiry | When::Mending | When::Detach => {
                continue;
            }
        }
        field.load.goes_on().unwrap();
        // The daemon that starts finishes the file that was being applied, although its own file
        // differs.
        let file = match when {
            When::Change => "drained.yaml",
            _ => "lb.yaml",
        };
        field.director.run(file).unwrap();
        field.check_soon(&wanted);
    }
    field.check(&wanted);
    field.end();
}

/// A configuration that differs from the one before in everything, and has a service that none
/// before had.
fn configuration(number: u8) -> Configuration {
    let odd = number % 2 == 1;
    let servers = match odd {
        false => [
            vec![(1, 1), (2, 1), (3, 1)],
            vec![(1, 1), (2, 1)],
            vec![(1, 1), (2, 2)],
        ],
        true => [
            vec![(2, 1), (1, 1)],
            vec![(3, 1), (1, 2), (2, 1)],
            vec![(1, 1), (3, 2), (2, 1)],
        ],
    };
    let vip = 200 + number;
    Configuration {
        servers,
        interfaces: if odd {
            "eth0, eth1, eth3"
        } else {
            "eth0, eth1, eth2"
        },
        timeouts: if odd {
            "{tcp: 901s, tcpfin: 5s}"
        } else {
            "{tcpfin: 5s}"
        },
        others: format!(
            "  - {{name: number-{number}, address: 172.16.0.{vip}:80, servers: [{{address: 192.168.100.11}}]}}\n"
        ),
    }
}

/// This many more servers, in services without clients.
fn many(servers: usize) -> String {
    const EACH: usize = 1000;
    let mut services = String::new();
    for service in 0..servers.div_ceil(EACH) {
        let _ = writeln!(services, "  - address: 172.17.0.{service}:80");
        let _ = writeln!(services, "    forward: nat\n    servers:");
        for port in 1..=EACH {
            let _ = writeln!(services, "    - {{address: \"192.168.100.21:{port}\"}}");
        }
    }
    services
}

/// Removes the pins of all maps that are there.
fn unpin(director: &Director) {
    let pins = fs::read_dir(director.pins()).unwrap().flatten();
    for pin in pins.map(|pin| pin.path()) {
        let name = pin.file_name().unwrap_or_default().to_string_lossy();
        if pin.is_file() && !name.starts_with("link-") {
            fs::remove_file(pin).unwrap();
        }
    }
}

/// Writes a file in which the third servers, which have no lasting connections, get no new ones, so
/// that they can be removed.
fn drain(field: &Field) {
    let director = &field.director;
    for service in director.stats().unwrap().services {
        for server in service.servers {
            let address = server.server.split(':').next().unwrap_or_default();
            if address.ends_with('3') {
                let drain = ["server", "drain", &service.service, &server.server];
                director.command(&drain).unwrap();
            }
        }
    }
    field.load.let_visitors_change().unwrap();
    let file = director.path("drained.yaml");
    director
        .command(&["save", &file.to_string_lossy()])
        .unwrap();
}
