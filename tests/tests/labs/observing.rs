//! Reading while no daemon runs: from the kernel, without a change.

use anyhow::ensure;
use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

/// What is said on standard error.
const NOTE: &str = "no daemon of instance";

#[test]
fn what_is_counted_can_be_read_without_a_daemon() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    client.servers(4).unwrap();
    let service = format!("tcp/{SERVICE}");
    let edit = ["server", "set", &service, "192.168.100.23", "--weight", "7"];
    director.command(&edit).unwrap();
    let listing = director.command(&["ipvsadm", "-Ln"]).unwrap();
    let shown = director.stats().unwrap();
    director.end(Signal::SIGKILL).unwrap();

    // Live edits and counters are the same, and go on counting.
    let pins = director.digest("eth0").unwrap();
    let output = director.try_command(&["ipvsadm", "-Ln"]).unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains(NOTE), "{output:?}");
    let without_loads = |text: &str| {
        let lines = text.lines().map(|line| {
            let words: Vec<_> = line.split_whitespace().take(4).collect();
            words.join(" ")
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(without_loads(&output.stdout), without_loads(&listing));
    client.servers(3).unwrap();
    let now = director.stats().unwrap();
    let [before, now] = [&shown, &now].map(|stats| stats.services[0].counters.connections);
    assert_eq!(now, before + 3);
    let stats = director.try_command(&["stats"]).unwrap();
    assert!(stats.stdout.contains("no daemon is running"), "{stats:?}");
    let rows = director.connections().unwrap();
    assert_eq!(rows.len() as u64, now);
    for arguments in [
        &["ipvsadm", "-Ln", "--stats"][..],
        &["ipvsadm", "-Lnc"],
        &["ipvsadm", "-L", "--timeout"],
        &["service", "list"],
        &["save", "-"],
    ] {
        let output = director.try_command(arguments).unwrap();
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(NOTE), "{arguments:?}: {output:?}");
    }
    // Rates only a daemon knows; changes only a daemon makes.
    for arguments in [&["ipvsadm", "-Ln", "--rate"][..], &edit] {
        let output = director.try_command(arguments).unwrap();
        assert_ne!(output.code, Some(0), "{arguments:?}: {output:?}");
        assert!(
            output.stderr.contains("daemon"),
            "{arguments:?}: {output:?}"
        );
    }
    // Nothing was changed: the next daemon finds all as it was left.
    connection.get("/").unwrap();
    director.run("lb.yaml").unwrap();
    assert_eq!(director.digest("eth0").unwrap(), pins);
    connection.get("/").unwrap();
    wait_until("the daemon answers", || {
        let output = director.try_command(&["stats", "--json"])?;
        ensure!(!output.stderr.contains(NOTE), "{output:?}");
        Ok(())
    })
    .unwrap();
    assert_eq!(director.stats().unwrap().services[0].servers[1].weight, 7);

    // Who ends what runs is not told of a daemon that does not.
    director.end(Signal::SIGKILL).unwrap();
    let output = director.try_command(&["detach"]).unwrap();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("had no daemon"), "{output:?}");
    assert!(!output.stdout.contains("ending the daemon"), "{output:?}");
    assert!(!output.stderr.contains(NOTE), "{output:?}");
}

#[test]
fn without_a_packet_path_there_is_nothing_to_read() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    director.end(Signal::SIGTERM).unwrap();
    director.command(&["detach"]).unwrap();
    let output = director.try_command(&["stats"]).unwrap();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("lb-ctl run --config"), "{output:?}");
}
