//! What a daemon goes on with that starts where another one was: what is live, unless its file
//! asks for something else.

use std::{fs, thread};

use anyhow::ensure;
use lb_lab::{
    lab::Lab,
    wait::wait_until,
    xdp::{self, Verdict},
};
use lb_tests::{
    director::Director,
    labs::l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::mkfifo,
};

/// Edits of every kind: by both languages, of services that are in the file and of others.
const EDITS: &str = "
    lb-ctl server set tcp/172.16.10.21:80 192.168.100.39 --weight 7
    lb-ctl server drain tcp/172.16.10.21:80 192.168.100.23
    lb-ctl service set tcp/172.16.10.21:80 --scheduler wlc --name 主页
    lb-ctl service add udp/172.16.10.21:53 --name dns --forward tun
    lb-ctl service add tcp/172.16.10.21:81 --scheduler lc
    ipvsadm -A -t 172.16.10.21:443 -s rr
    ipvsadm -a -t 172.16.10.21:443 -r 192.168.100.39:8443 -m
    ipvsadm -a -t 172.16.10.21:443 -r 192.168.100.23 -g
    ipvsadm --set 901 0 302
    ipvsadm -D -t 172.16.10.21:81
";

fn lab() -> (Lab, Director) {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    (lab, director)
}

fn again(director: &mut Director) {
    director.end(Signal::SIGKILL).unwrap();
    director.run("lb.yaml").unwrap();
}

/// Everything that is live, in both languages.
fn live(director: &Director) -> String {
    let script = "lb-ctl save -; ipvsadm -Sn; ipvsadm -Ln --timeout";
    director.done(script).unwrap()
}

#[test]
fn edits_outlive_the_daemon_and_no_connection_notices() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(5).unwrap();
    director.done(EDITS).unwrap();
    let before = live(&director);
    for words in ["主页", "weight: 7", "name: dns", "forward: tun", "901"] {
        assert!(before.contains(words), "{words:?} is not in:\n{before}");
    }
    for _ in 0..2 {
        again(&mut director);
        assert_eq!(live(&director), before);
        assert_eq!(client.servers(2).unwrap(), ["web39"; 2]);
    }
    assert!(director.log().unwrap().contains("made live"));

    // Even those that left nothing.
    director.done("ipvsadm -C").unwrap();
    again(&mut director);
    assert_eq!(director.stats().unwrap().services, []);
}

#[test]
fn a_file_that_was_changed_is_what_the_next_daemon_does() {
    let (_lab, mut director) = lab();
    let fresh = live(&director);
    director.done(EDITS).unwrap();
    director
        .write("lb.yaml", &format!("# Changed.\n{CONFIGURATION}"))
        .unwrap();
    again(&mut director);
    assert_eq!(live(&director), fresh);

    // So is one that was taken down in between, and the file that SIGHUP has applied.
    director.done(EDITS).unwrap();
    director.end(Signal::SIGTERM).unwrap();
    director.done("lb-ctl detach").unwrap();
    director.run("lb.yaml").unwrap();
    assert_eq!(live(&director), fresh);
}

#[test]
fn edits_stay_that_came_after_the_file_was_saved_or_applied() {
    let (_lab, mut director) = lab();
    director.done(EDITS).unwrap();
    director.done("lb-ctl save lb.yaml").unwrap();
    let edit = "lb-ctl server set tcp/172.16.10.21:80 192.168.100.39 --weight 70";
    director.done(edit).unwrap();
    let before = live(&director);
    again(&mut director);
    assert_eq!(live(&director), before);

    director
        .write("lb.yaml", &format!("# Changed.\n{CONFIGURATION}"))
        .unwrap();
    director.done("lb-ctl apply lb.yaml > /dev/null").unwrap();
    director.done(edit).unwrap();
    let before = live(&director);
    again(&mut director);
    assert_eq!(live(&director), before);
}

#[test]
fn another_file_that_was_applied_is_a_live_edit_and_saving_to_another_one_is_none() {
    let (_lab, mut director) = lab();
    director.done("lb-ctl save kept.yaml").unwrap();
    director.done(EDITS).unwrap();
    director.done("lb-ctl save other.yaml").unwrap();
    director.done("lb-ctl apply kept.yaml > /dev/null").unwrap();
    let before = live(&director);
    director
        .done("lb-ctl apply other.yaml > /dev/null")
        .unwrap();
    let after = live(&director);
    again(&mut director);
    assert_eq!(live(&director), after);

    // What was kept takes the file's place: that is a change.
    director.done("cp kept.yaml lb.yaml").unwrap();
    again(&mut director);
    assert_eq!(live(&director), before);
}

/// Differs from the lab's in everything.
const OTHER: &str = "
interfaces: [eth0]
timeouts: {tcp: 1000s}
services:
  - {name: one, address: 172.16.10.21:1}
  - address: 172.16.10.21:2
    servers: [{address: 192.168.100.39}]
";

/// Steps of applying it.
const STEPS: [&str; 4] = [
    "server-written",
    "service-written:2",
    "service-removed",
    "timeouts-written",
];

#[test]
fn what_another_file_was_being_applied_for_is_finished() {
    let (_lab, mut director) = lab();
    let before = live(&director);
    director.write("other.yaml", OTHER).unwrap();
    director
        .done("lb-ctl apply other.yaml > /dev/null")
        .unwrap();
    let after = live(&director);
    for step in STEPS {
        director.done("lb-ctl apply lb.yaml > /dev/null").unwrap();
        assert_eq!(live(&director), before);
        director.end(Signal::SIGKILL).unwrap();
        director.run_until(step, "lb.yaml").unwrap();
        director.script("lb-ctl apply other.yaml").unwrap();
        director.wait_for_crash().unwrap();
        for _ in 0..2 {
            director.run("lb.yaml").unwrap();
            assert_eq!(
                interfaces_aside(&live(&director)),
                interfaces_aside(&after),
                "{step}"
            );
            director.end(Signal::SIGKILL).unwrap();
        }
        director.run("lb.yaml").unwrap();
    }

    // Unless the daemon's own file asks for something else meanwhile.
    director.end(Signal::SIGKILL).unwrap();
    director.run_until("service-removed", "lb.yaml").unwrap();
    director
        .write("third.yaml", "interfaces: [eth0]\n")
        .unwrap();
    director.script("lb-ctl apply third.yaml").unwrap();
    director.wait_for_crash().unwrap();
    let changed = format!("# Changed.\n{CONFIGURATION}");
    director.write("lb.yaml", &changed).unwrap();
    for _ in 0..2 {
        director.run("lb.yaml").unwrap();
        assert_eq!(live(&director), before);
        director.end(Signal::SIGKILL).unwrap();
    }
}

#[test]
fn what_was_begun_and_cannot_be_finished_gives_way_to_the_daemons_own_file() {
    let (_lab, mut director) = lab();
    let before = live(&director);
    let journal = format!("{}.applying", director.instance());
    let gone = OTHER.replace("[eth0]", "[eth0, gone]");
    for begun in [gone.as_str(), "services: [nonsense"] {
        director.done(EDITS).unwrap();
        director.end(Signal::SIGKILL).unwrap();
        director.write(&journal, begun).unwrap();
        director.run("lb.yaml").unwrap();
        let log = director.log().unwrap();
        assert!(log.contains("cannot be finished"), "{log}");
        assert_eq!(live(&director), before);
        assert!(!director.path(&journal).exists());
    }
}

#[test]
fn what_its_own_file_was_being_applied_for_is_not_taken_for_live() {
    let (_lab, mut director) = lab();
    let before = live(&director);
    for step in STEPS {
        director.end(Signal::SIGKILL).unwrap();
        director.write("lb.yaml", OTHER).unwrap();
        director.crash_at_start(step, "lb.yaml").unwrap();
        // Somebody thinks again.
        director.write("lb.yaml", CONFIGURATION).unwrap();
        director.run("lb.yaml").unwrap();
        assert_eq!(live(&director), before, "{step}");
    }
}

#[test]
fn a_daemon_that_cannot_do_what_its_file_says_leaves_all_as_it_was() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    director.done(EDITS).unwrap();
    let before = live(&director);
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    director.end(Signal::SIGTERM).unwrap();
    let machine = lab.host("director").unwrap();
    machine
        .ip(["link add taken type veth peer name other"])
        .unwrap();
    let taken = xdp::attach(machine, "taken", Verdict::Send).unwrap();
    let file = OTHER.replace("[eth0]", "[eth0, taken]");
    director.write("wrong.yaml", &file).unwrap();
    let file = director.path("wrong.yaml").display().to_string();
    let run = ["run", "--mode", "native", "--config", &file];
    let output = director.try_command(&run).unwrap();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("taken already carries"),
        "{output:?}"
    );
    connection.get("/").unwrap();
    client.servers(2).unwrap();
    drop(taken);
    director.run("lb.yaml").unwrap();
    assert_eq!(live(&director), before);
}

/// What was attached stays attached, where the file is as it was.
fn interfaces_aside(live: &str) -> &str {
    live.split_once('\n').map_or(live, |(_, rest)| rest)
}

#[test]
fn a_file_that_was_a_pipe_is_read_once() {
    let (_lab, mut director) = lab();
    director.end(Signal::SIGTERM).unwrap();
    let pipe = director.path("pipe.yaml");
    mkfifo(&pipe, Mode::S_IRUSR).unwrap();
    let writer = thread::spawn(move || fs::write(pipe, CONFIGURATION));
    director.run("pipe.yaml").unwrap();
    writer.join().unwrap().unwrap();
    kill(director.process().unwrap(), Signal::SIGHUP).unwrap();
    wait_until("it says so", || {
        let log = director.log()?;
        ensure!(log.contains("came by a pipe"), "{log}");
        Ok(())
    })
    .unwrap();
    director.done("lb-ctl apply lb.yaml").unwrap();
    director.done("lb-ctl save kept.yaml").unwrap();
}
