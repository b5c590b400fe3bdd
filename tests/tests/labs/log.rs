//! The daemon's log, when nobody takes it.

use std::fmt::Write as _;

use anyhow::ensure;
use lb_lab::{lab::Lab, process::Process, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

/// Starts the lab's daemon with its standard error redirected, and has it log a lot.
fn a_daemon_that_logs_to(redirect: &str) {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    director.end(Signal::SIGTERM).unwrap();
    let run = format!("mkfifo unread; exec lb-ctl run --mode native --config lb.yaml {redirect}");
    let mut daemon = Process::start("lb-ctl run", &mut director.shell(&run).unwrap()).unwrap();
    wait_until("the daemon answers", || match daemon.ensure_running() {
        Ok(()) => {
            ensure!(director.stats()?.pid == daemon.id(), "not yet");
            Ok(Ok(()))
        }
        ended => Ok(ended),
    })
    .unwrap()
    .unwrap();

    // More than a pipe holds: each service is a line.
    let mut file = CONFIGURATION.to_owned();
    for port in 1000..3000 {
        writeln!(file, "  - address: 192.168.100.11:{port}").unwrap();
    }
    let path = director.write("many.yaml", &file).unwrap();
    let path = path.to_str().unwrap();
    director.command(&["apply", path]).unwrap();
    daemon.ensure_running().unwrap();
    assert_eq!(director.stats().unwrap().services.len(), 2002);
    client.servers(2).unwrap();
    let status = daemon.end(Signal::SIGTERM).unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_daemon() {
    a_daemon_that_logs_to("2>/dev/full");
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_daemon() {
    a_daemon_that_logs_to("2<>unread");
}
