//! What the machine does to a director that starts: too few open files, another namespace, another
//! clock, folders that others own.

use lb_lab::{lab::Lab, process::Output};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

fn start() -> (Lab, Director) {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    (lab, director)
}

/// A director that has been taken down again.
fn ended() -> (Lab, Director) {
    let (lab, mut director) = start();
    director.end(Signal::SIGTERM).unwrap();
    director.command(&["detach"]).unwrap();
    (lab, director)
}

#[track_caller]
fn assert_refused(output: &Output, said: &[&str]) {
    assert_eq!(output.code, Some(1), "{output:?}");
    for words in said {
        assert!(output.stderr.contains(words), "{words:?} in {output:?}");
    }
}

#[test]
fn a_start_that_fails_for_want_of_open_files_leaves_nothing() {
    let (_lab, director) = ended();
    let mut failed = 0;
    for files in 8.. {
        // Ended as soon as it is ready.
        let script = format!(
            "(ulimit -n {files}; exec lb-ctl run --mode native --config lb.yaml) >log 2>&1 &
             while kill -0 $! 2>/dev/null && ! grep -q ready: log; do sleep 0.01; done
             kill $! 2>/dev/null; wait; cat log"
        );
        let output = director.script(&script).unwrap();
        if output.stdout.contains("ready:") {
            director.command(&["detach"]).unwrap();
            break;
        }
        assert!(!director.pins().exists(), "{files} files: {output:?}");
        assert_eq!(director.attached("eth0").unwrap(), None, "{files} files");
        failed += 1;
        assert!(files < 200, "it never starts: {output:?}");
    }
    assert!(failed > 10, "only {failed} starts failed");
}

#[test]
fn a_packet_path_of_another_network_namespace_is_refused() {
    let (lab, mut director) = start();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    director.end(Signal::SIGKILL).unwrap();
    let elsewhere = lab.host("client").unwrap().name();
    let script =
        format!("nsenter --net=/run/netns/{elsewhere} lb-ctl run --mode native --config lb.yaml");
    let output = director.script(&script).unwrap();
    assert_refused(&output, &["another network namespace", "--instance"]);
    connection.get("/").unwrap();
    client.servers(3).unwrap();
    director.run("lb.yaml").unwrap();
    connection.get("/").unwrap();
}

#[test]
fn a_packet_path_of_another_network_namespace_is_told_as_such() {
    let (lab, mut director) = start();
    let index = director.done("ip -o link show eth0 | cut -d: -f1").unwrap();
    let interface = format!("interface {} of another network namespace", index.trim());
    director.end(Signal::SIGKILL).unwrap();
    let elsewhere = lab.host("client").unwrap().name();
    let there = |verb: &str| {
        let script = format!("nsenter --net=/run/netns/{elsewhere} lb-ctl {verb}");
        let output = director.script(&script).unwrap();
        assert_eq!(output.code, Some(0), "{output:?}");
        output
    };
    let belongs = "packet path belongs to another network namespace";
    let output = there("stats");
    assert!(output.stderr.contains(belongs), "{output:?}");
    assert!(output.stderr.contains(&interface), "{output:?}");
    assert!(output.stdout.contains(&interface), "{output:?}");
    assert!(there("conns").stderr.contains(belongs));
    let output = director.try_command(&["stats"]).unwrap();
    assert!(!output.stderr.contains("namespace"), "{output:?}");

    let output = there("detach");
    let belonged = "belonged to another network namespace";
    assert!(output.stdout.contains(belonged), "{output:?}");
    assert!(output.stdout.contains(&interface), "{output:?}");
    assert_eq!(director.attached("eth0").unwrap(), None);
}

#[test]
fn a_daemon_in_another_time_namespace_keeps_all_connections() {
    let (lab, mut director) = start();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    director.end(Signal::SIGKILL).unwrap();
    director.run_ahead(1_000_000, "lb.yaml").unwrap();
    let rows = director.connections().unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].expires > 600, "{rows:?}");
    connection.get("/").unwrap();
}

/// Runs the daemon where bpffs is mounted anew, with this mode, after a script.
fn run_with_bpffs(director: &Director, mode: &str, prepare: &str) -> Output {
    let script = format!(
        "exec unshare --mount sh -e -c '
            mount -t bpf -o mode={mode} bpf /sys/fs/bpf
            {prepare}
            exec lb-ctl run --mode native --config lb.yaml'"
    );
    director.script(&script).unwrap()
}

#[test]
fn a_folder_for_pins_that_is_not_roots_is_refused() {
    let (_lab, director) = ended();
    let output = run_with_bpffs(
        &director,
        "1777",
        "mkdir /sys/fs/bpf/lb; chown 65534 /sys/fs/bpf/lb",
    );
    assert_refused(&output, &["/sys/fs/bpf/lb", "user 65534"]);
    let instance = director.instance();
    let prepare =
        format!("mkdir -p /sys/fs/bpf/lb/{instance}; chown 65534 /sys/fs/bpf/lb/{instance}");
    let output = run_with_bpffs(&director, "0700", &prepare);
    assert_refused(&output, &[instance, "user 65534"]);
    let output = run_with_bpffs(&director, "0700", "chmod 777 /sys/fs/bpf");
    assert_refused(&output, &["/sys/fs/bpf", "chmod 700"]);
}
