//! Wrong input is answered by an error that says what is wrong, and changes nothing.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use lb_lab::{
    lab::Lab,
    process::{Output, run},
};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

/// Fails unless the command failed with this exit code and wrote all of these words.
#[track_caller]
fn assert_refused(output: &Output, code: i32, said: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    for words in said {
        assert!(output.stderr.contains(words), "{words:?} in {output:?}");
    }
}

/// Fails unless the director still does what `CONFIGURATION` says.
#[track_caller]
fn assert_as_before(lab: &Lab, director: &Director) {
    let client = lab.client("client", SERVICE).unwrap();
    let mut servers = client.servers(3).unwrap();
    servers.sort();
    assert_eq!(servers, ["web23", "web47", "web47"]);
    let plan = director.command(&["apply", "--dry-run", file(director).as_str()]);
    assert_eq!(plan.unwrap().trim(), "nothing to do");
}

fn file(director: &Director) -> String {
    director.path("lb.yaml").display().to_string()
}

fn lab() -> (Lab, Director) {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    (lab, director)
}

/// Applies a file, which must change nothing.
#[track_caller]
fn assert_not_applied(file: &str, code: i32, said: &[&str]) {
    let (lab, director) = lab();
    let path = director.write("bad.yaml", file).unwrap();
    let output = director.try_command(&["apply", path.to_str().unwrap()]);
    assert_refused(&output.unwrap(), code, said);
    assert_as_before(&lab, &director);
}

#[test]
fn a_file_with_an_unknown_key_is_not_applied() {
    let file = CONFIGURATION.replace("weight: 2", "wieght: 2");
    assert_not_applied(&file, 2, &["bad.yaml:7:", "servers[0]", "wieght", "weight"]);
}

#[test]
fn a_file_that_maps_ports_under_dr_is_not_applied() {
    let file = CONFIGURATION.replace(
        "address: 192.168.100.23,",
        "address: \"192.168.100.23:81\",",
    );
    assert_not_applied(&file, 2, &["bad.yaml:8:", "servers[1]"]);
}

#[test]
fn a_file_with_an_interface_that_does_not_exist_is_not_applied() {
    let file = CONFIGURATION.replace("[eth0]", "[eth0, nosuch0]");
    assert_not_applied(&file, 1, &["nosuch0", "does not exist"]);
}

#[test]
fn a_file_without_a_single_interface_is_not_applied() {
    let file = CONFIGURATION.replace("[eth0]", "[]");
    assert_not_applied(&file, 2, &["bad.yaml:2:", "at least one interface"]);
}

#[test]
fn what_is_live_is_saved_where_nothing_is_lost() {
    let (_lab, director) = lab();
    let save = |arguments: &str| {
        director
            .script(&format!("lb-ctl save {arguments}"))
            .unwrap()
    };
    let live = director.done("lb-ctl save").unwrap();
    for text in ["garbage\n", "\u{feff}# ours\nservices: []\n"] {
        let file = director.write("other.yaml", text).unwrap();
        let output = save("other.yaml");
        assert_refused(&output, 1, &["nothing was written", "--force"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        let output = save("--force other.yaml");
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), live);
        let kept = director.path("other.yaml.bak");
        assert_eq!(fs::read_to_string(&kept).unwrap(), text);
        fs::remove_file(kept).unwrap();
    }
    assert_eq!(save("/dev/stdout | cat").stdout, live);
    let output = director.script("mkfifo pipe; lb-ctl save pipe").unwrap();
    assert_refused(&output, 1, &["pipe", "nobody reads"]);
}

#[test]
fn a_table_in_use_does_not_change_its_size() {
    let file = format!("connections: 5000\n{CONFIGURATION}");
    assert_not_applied(&file, 1, &["1000000", "5000", "detach"]);
}

#[test]
fn nat_to_the_director_itself_is_not_applied() {
    let file = CONFIGURATION.replace(
        "{address: 192.168.100.23, weight: 1}",
        "{address: 192.168.100.17, forward: nat}",
    );
    assert_not_applied(&file, 1, &["192.168.100.17", "forward: dr"]);
}

#[test]
fn a_second_daemon_for_an_instance_is_refused() {
    let (lab, director) = lab();
    let output = director.try_command(&["run", "--config", &file(&director)]);
    assert_refused(&output.unwrap(), 1, &["already running", "pid"]);
    assert_as_before(&lab, &director);
}

#[test]
fn an_interface_whose_mtu_is_too_large_for_native_mode_says_so() {
    let (lab, director) = lab();
    let large = "ip link add big0 mtu 9000 up type veth peer name big1 mtu 9000";
    assert_eq!(director.script(large).unwrap().code, Some(0));
    let other = format!("{}-2", director.instance());
    let start = format!(
        "echo 'interfaces: [big0]' | lb-ctl --instance {other} run --mode native --config -"
    );
    let output = director.script(&start).unwrap();
    let parts = [
        "big0 in native mode",
        "MTU is too large to set XDP",
        "it is 9000",
        "--mode generic",
    ];
    assert_refused(&output, 1, &parts);
    assert!(!director.pins().with_file_name(&other).exists());
    assert_as_before(&lab, &director);
}

#[test]
fn a_command_without_a_daemon_says_how_to_start_one() {
    let (_lab, mut director) = lab();
    director.end(Signal::SIGTERM).unwrap();
    let refuse = |commands: &[&[&str]]| {
        for command in commands {
            let output = director.try_command(command).unwrap();
            assert_refused(&output, 1, &["no daemon", "lb-ctl run"]);
        }
    };
    // What only a daemon does; and when nothing is left to read, the rest.
    refuse(&[&["service", "add", "tcp/10.9.9.9:80"]]);
    director.command(&["detach"]).unwrap();
    refuse(&[&["stats"], &["conns"], &["save"], &["service", "list"]]);
}

#[test]
fn a_daemon_with_a_wrong_file_does_not_start() {
    let (_lab, mut director) = lab();
    director.end(Signal::SIGTERM).unwrap();
    director.command(&["detach"]).unwrap();
    let path = director.write("bad.yaml", "interfaces: 5\n").unwrap();
    let output = director.try_command(&["run", "--config", path.to_str().unwrap()]);
    assert_refused(&output.unwrap(), 2, &["bad.yaml:1:", "interfaces"]);
    assert_eq!(director.attached("eth0").unwrap(), None);
}

#[test]
fn who_is_not_root_is_told() {
    let (lab, director) = lab();
    // In a directory that no other user may read, wherever the build is.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("lb-ctl");
    // By another process: one that a test beside this one forks at this moment would hold the file
    // open for writing, and nobody could run it.
    let mut copy = Command::new("cp");
    run(copy.arg(director.binary()).arg(&binary)).unwrap();
    let config = folder.path().join("lb.yaml");
    fs::write(&config, CONFIGURATION).unwrap();
    const NOBODY: u32 = 65534;
    let output = run(Command::new(&binary)
        .uid(NOBODY)
        .gid(NOBODY)
        .arg("run")
        .arg("--config")
        .arg(&config));
    assert_refused(&output.unwrap(), 1, &["root"]);
    assert_as_before(&lab, &director);
}

#[test]
fn wrong_arguments_have_an_exit_code_of_their_own() {
    let (lab, director) = lab();
    for arguments in [
        &["server", "add", "tcp/192.168.100.11:80", "nonsense"][..],
        &[
            "service",
            "add",
            "tcp/192.168.100.11:80",
            "--scheduler",
            "best",
        ],
        &["stats", "--nonsense"],
    ] {
        assert_refused(&director.try_command(arguments).unwrap(), 2, &[]);
    }
    let twice = &["server", "add", "tcp/192.168.100.11:80", "192.168.100.47"];
    let output = director.try_command(twice).unwrap();
    assert_refused(&output, 1, &["already exists"]);
    assert_as_before(&lab, &director);
}
