//! What a daemon goes on with that starts where another one was: what is live, unless its file
//! asks for something else.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

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

fn wait_for_log(director: &Director, words: &[&str]) {
    wait_until("it says so", || {
        let log = director.log()?;
        ensure!(words.iter().all(|words| log.contains(words)), "{log}");
        Ok(())
    })
    .unwrap();
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
    director.log_with("made live").unwrap();

    // Even those that left nothing.
    director.done("ipvsadm -C").unwrap();
    again(&mut director);
    assert_eq!(director.stats().unwrap().services, []);
}

#[test]
fn a_comment_in_the_file_takes_no_live_edit_away() {
    let (_lab, mut director) = lab();
    director.done(EDITS).unwrap();
    let before = live(&director);
    director
        .write("lb.yaml", &format!("# Changed.\n{CONFIGURATION}"))
        .unwrap();
    again(&mut director);
    assert_eq!(live(&director), before);
    kill(director.process().unwrap(), Signal::SIGHUP).unwrap();
    wait_for_log(&director, &["lb.yaml applied again: 0 changes"]);
    assert_eq!(live(&director), before);
}

#[test]
fn a_file_that_was_changed_changes_what_it_says_otherwise_and_tells_it_first() {
    let (_lab, mut director) = lab();
    director.done(EDITS).unwrap();
    // The server that was drained live gets another weight, and one leaves the file.
    let file = CONFIGURATION
        .replace("23, weight: 3", "23, weight: 4")
        .replace("      - {address: 192.168.100.39, weight: 2}\n", "");
    director.write("lb.yaml", &file).unwrap();
    again(&mut director);
    let after = live(&director);
    for (words, there) in [
        ("weight: 4", true),
        ("name: dns", true),
        ("192.168.100.39:8443", true),
        ("weight: 7", false),
        ("901", true),
    ] {
        assert_eq!(after.contains(words), there, "{words:?} in:\n{after}");
    }
    let log = director.log_with("ready: ").unwrap();
    for line in [
        "- tcp/172.16.10.21:80 server 192.168.100.39:80",
        "~ tcp/172.16.10.21:80 server 192.168.100.23:80 weight 0 -> 4",
    ] {
        let told = log.lines().find(|told| told.contains(line));
        let told = told.unwrap_or_else(|| panic!("{line:?} is not in:\n{log}"));
        assert!(
            told.contains("WARN") && told.contains("lb.yaml at start"),
            "{told}"
        );
    }
    let place = |words: &str| log.find(words).unwrap_or_default();
    assert!(place("weight 0 -> 4") < place("ready: "), "{log}");
}

#[test]
fn a_file_without_services_takes_no_service_away() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, "interfaces: [eth0]\n").unwrap();
    let script = "
        ipvsadm -A -t 172.16.10.21:80 -s wrr
        ipvsadm -a -t 172.16.10.21:80 -r 192.168.100.39 -m
        ipvsadm -a -t 172.16.10.21:80 -r 192.168.100.23 -m -w 2
    ";
    director.done(script).unwrap();
    let services = director.done("ipvsadm -Sn").unwrap();
    assert!(services.contains("192.168.100.23"), "{services}");
    director
        .write("lb.yaml", "interfaces: [eth0, eth1]\n")
        .unwrap();
    again(&mut director);
    assert_eq!(director.done("ipvsadm -Sn").unwrap(), services);
    assert!(director.attached("eth1").unwrap().is_some());
    lab.client("client", SERVICE).unwrap().servers(3).unwrap();
    // `services:` with nothing below says that there is none.
    director
        .write("lb.yaml", "interfaces: [eth0]\nservices: []\n")
        .unwrap();
    again(&mut director);
    assert_eq!(director.done("ipvsadm -Sn").unwrap(), services);
    director.done("lb-ctl apply lb.yaml > /dev/null").unwrap();
    assert_eq!(director.done("ipvsadm -Sn").unwrap(), "");
}

#[test]
fn every_change_is_told_with_who_asked_for_it() {
    let (_lab, director) = lab();
    director
        .done("lb-ctl service add udp/172.16.10.21:53 --name dns > /dev/null")
        .unwrap();
    director.done("ipvsadm -C").unwrap();
    director.log_with("- udp/172.16.10.21:53").unwrap();
    let log = director.log_with("- tcp/172.16.10.21:80").unwrap();
    for (line, level, verb) in [
        (
            "+ udp/172.16.10.21:53 wlc dr name dns",
            "INFO",
            "lb-ctl service add",
        ),
        ("- udp/172.16.10.21:53", "WARN", "ipvsadm -C"),
        ("- tcp/172.16.10.21:80", "WARN", "ipvsadm -C"),
    ] {
        let words = [line, level, "uid=0", "pid=", verb];
        let told = log
            .lines()
            .find(|told| words.iter().all(|words| told.contains(words)));
        assert!(told.is_some(), "{words:?} are in no line of:\n{log}");
    }
}

#[test]
fn what_was_detached_is_not_remembered() {
    let (_lab, mut director) = lab();
    let fresh = live(&director);
    for end_first in [true, false] {
        director.done(EDITS).unwrap();
        if end_first {
            director.end(Signal::SIGTERM).unwrap();
            director.done("lb-ctl detach > /dev/null").unwrap();
        } else {
            director.done("lb-ctl detach").unwrap();
            director.end(Signal::SIGTERM).unwrap();
        }
        assert!(!record(&director).exists());
        director.run("lb.yaml").unwrap();
        assert_eq!(live(&director), fresh);
    }
}

fn record(director: &Director) -> PathBuf {
    director.path(&format!("{}.record", director.instance()))
}

#[test]
fn without_its_record_a_director_does_what_its_file_says_and_connections_find_their_servers() {
    let (lab, mut director) = lab();
    let client = lab.client("client", SERVICE).unwrap();
    let fresh = live(&director);
    let damage: [fn(&Path); 3] = [
        |record| fs::remove_file(record).unwrap(),
        |record| {
            let mut bytes = fs::read(record).unwrap();
            bytes[20] ^= 1;
            fs::write(record, bytes).unwrap();
        },
        |record| fs::write(record, "").unwrap(),
    ];
    for damage in damage {
        director.done(EDITS).unwrap();
        let mut connection = client.connect().unwrap();
        connection.get("/").unwrap();
        director.end(Signal::SIGKILL).unwrap();
        damage(&record(&director));
        director.run("lb.yaml").unwrap();
        assert_eq!(live(&director), fresh);
        connection.get("/").unwrap();
        let log = director.log_with("ready: ").unwrap();
        for words in [
            &["ERROR", "no record"][..],
            &["WARN", "- udp/172.16.10.21:53, which is in the packet path"],
            &[
                "WARN",
                "- tcp/172.16.10.21:443, which is in the packet path",
            ],
        ] {
            let told = log
                .lines()
                .find(|told| words.iter().all(|words| told.contains(words)));
            assert!(told.is_some(), "{words:?} are in no line of:\n{log}");
        }
    }
}

#[test]
fn a_line_that_the_record_does_not_have_to_its_end_takes_no_edit_away() {
    let (_lab, mut director) = lab();
    director.done(EDITS).unwrap();
    let before = live(&director);
    director.end(Signal::SIGKILL).unwrap();
    let mut bytes = fs::read(record(&director)).unwrap();
    bytes.extend(b"01234567 {\"batch");
    fs::write(record(&director), bytes).unwrap();
    director.run("lb.yaml").unwrap();
    assert_eq!(live(&director), before);
    wait_for_log(&director, &["not written to its end"]);
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
    let fresh = live(&director);
    director.done("lb-ctl save kept.yaml").unwrap();
    director.done(EDITS).unwrap();
    director.done("lb-ctl save other.yaml").unwrap();
    director.done("lb-ctl apply kept.yaml > /dev/null").unwrap();
    director
        .done("lb-ctl apply other.yaml > /dev/null")
        .unwrap();
    let after = live(&director);
    again(&mut director);
    assert_eq!(live(&director), after);

    // What was kept means the same as the daemon's own file: that is no change.
    director.done("cp kept.yaml lb.yaml").unwrap();
    again(&mut director);
    assert_eq!(live(&director), after);
    director.done("lb-ctl apply lb.yaml > /dev/null").unwrap();
    assert_eq!(live(&director), fresh);
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
            assert_eq!(live(&director), after, "{step}");
            director.end(Signal::SIGKILL).unwrap();
        }
        director.run("lb.yaml").unwrap();
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
    wait_for_log(&director, &["came by a pipe"]);
    director.done("lb-ctl apply lb.yaml").unwrap();
    director.done("lb-ctl save kept.yaml").unwrap();
}
