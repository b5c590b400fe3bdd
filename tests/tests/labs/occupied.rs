//! An interface that carries another XDP program is left to it. The commands that the daemon then
//! names, run as they are written, tell whose program it is and make the interface free.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use lb_lab::{
    client::Client,
    lab::{Lab, PINS},
    namespace::Namespace,
    process::run,
    wait::wait_until,
    xdp::{self, Verdict},
};
use lb_tests::{
    director::{Director, Mode},
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};

#[test]
fn a_program_that_ip_attached_goes_by_the_advised_command() {
    let lab = Lab::realise(&topology()).unwrap();
    let folder = Path::new(PINS).join(format!("{}-foreign", lab.prefix()));
    let foreign = xdp::pin(Verdict::Pass, folder).unwrap();
    for (how, mode) in [
        ("xdp", Mode::Native),
        ("xdpdrv", Mode::Generic),
        ("xdpdrv", Mode::Auto),
        ("xdpgeneric", Mode::Native),
        ("xdpgeneric", Mode::Generic),
        ("xdpgeneric", Mode::Auto),
    ] {
        let program = foreign.path();
        let attach = format!("ip link set dev eth0 {how} pinned {}", program.display());
        done(machine(&lab), &attach);
        let refusal = refusal(lab.prefix(), &lab, mode);
        let [remove, ask] = advice(&refusal)[..] else {
            panic!("other commands than expected: {refusal}");
        };
        assert!(done(machine(&lab), ask).contains("xdp"), "{refusal}");
        assert_eq!(done(machine(&lab), remove), "");
        serves(lab.prefix(), &lab, mode);
    }
}

#[test]
fn a_program_that_a_link_attached_goes_by_the_advised_command() {
    let lab = Lab::realise(&topology()).unwrap();
    for mode in [Mode::Native, Mode::Generic, Mode::Auto] {
        // Whoever made the link holds it all the time.
        let _link = xdp::attach(machine(&lab), "eth0", Verdict::Pass).unwrap();
        let refusal = refusal(lab.prefix(), &lab, mode);
        let [remove, ask_link, ask_program] = advice(&refusal)[..] else {
            panic!("other commands than expected: {refusal}");
        };
        for ask in [ask_link, ask_program] {
            assert!(done(machine(&lab), ask).contains("xdp"), "{refusal}");
        }
        assert_eq!(done(machine(&lab), remove), "");
        serves(lab.prefix(), &lab, mode);
    }
}

#[test]
fn the_program_of_another_instance_goes_by_the_advised_command() {
    let lab = Lab::realise(&topology()).unwrap();
    let first = Director::start(&lab, CONFIGURATION).unwrap();
    let second = format!("{}-2", first.instance());
    for mode in [Mode::Native, Mode::Generic, Mode::Auto] {
        let refusal = refusal(&second, &lab, mode);
        let detach = format!("lb-ctl --instance {} detach", first.instance());
        assert_eq!(advice(&refusal), [first.instance(), &detach], "{refusal}");
        // The refused daemon has changed nothing.
        let client = lab.client("client", SERVICE).unwrap();
        assert_eq!(servers(&client), ["web23", "web47", "web47"]);
        let file = first.path("lb.yaml").display().to_string();
        let plan = first.command(&["apply", "--dry-run", &file]).unwrap();
        assert_eq!(plan.trim(), "nothing to do");
    }
    let refusal = refusal(&second, &lab, Mode::Native);
    first.done(advice(&refusal)[1]).unwrap();
    serves(&second, &lab, Mode::Native);
}

/// A daemon that runs goes on without the interface, and takes it as soon as it is free.
#[test]
fn an_interface_that_comes_with_another_program_is_taken_after_the_advised_command() {
    let lab = Lab::realise(&topology()).unwrap();
    machine(&lab)
        .ip([
            "link add extra type veth peer name extra-peer",
            "link set extra up",
            "link set extra-peer up",
        ])
        .unwrap();
    let both = CONFIGURATION.replace("[eth0]", "[eth0, extra]");
    let director = Director::start(&lab, &both).unwrap();
    machine(&lab)
        .ip([
            "link del extra",
            "link add taken type veth peer name taken-peer",
        ])
        .unwrap();
    let _link = xdp::attach(machine(&lab), "taken", Verdict::Pass).unwrap();
    machine(&lab)
        .ip([
            "link set taken name extra",
            "link set extra up",
            "link set taken-peer up",
        ])
        .unwrap();
    let trouble = wait_until("it is told", || {
        let troubles = director.stats()?.troubles;
        let mut it = troubles.iter();
        let it = it.find(|it| it.starts_with("extra already carries"));
        it.cloned().with_context(|| format!("{troubles:?}"))
    })
    .unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    assert_eq!(servers(&client), ["web23", "web47", "web47"]);
    done(machine(&lab), advice(&trouble)[0]);
    wait_until("it is attached to", || {
        let troubles = director.stats()?.troubles;
        ensure!(troubles.is_empty(), "{troubles:?}");
        director.attached("extra")?.context("it is not")
    })
    .unwrap();
    assert_eq!(servers(&client), ["web23", "web47", "web47"]);
}

fn machine(lab: &Lab) -> &Arc<Namespace> {
    lab.host("director").unwrap()
}

/// Starts a daemon, which must refuse, and leave nothing. Returns what it says about the interface.
#[track_caller]
fn refusal(instance: &str, lab: &Lab, mode: Mode) -> String {
    let director = Director::start_as(instance, mode, Arc::clone(machine(lab)), CONFIGURATION);
    let error = format!("{:#}", director.unwrap_err());
    assert!(error.contains("exit status: 1"), "{error}");
    assert!(!Path::new(PINS).join(instance).exists(), "{error}");
    let mut lines = error.lines();
    let line = lines.find_map(|line| line.split_once("eth0 already carries another XDP program"));
    let (_, said) = line.unwrap_or_else(|| panic!("{error}"));
    said.to_owned()
}

/// What is quoted in a message: the commands, mostly.
fn advice(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// Runs a command that must succeed and complain of nothing. Returns its stdout.
#[track_caller]
fn done(machine: &Namespace, command: &str) -> String {
    let output = run(machine.command("sh").args(["-c", command])).unwrap();
    let fine = output.code == Some(0) && output.stderr.is_empty();
    assert!(fine, "{command}: {output:?}");
    output.stdout
}

/// Fails unless a daemon starts now, and serves in this mode.
#[track_caller]
fn serves(instance: &str, lab: &Lab, mode: Mode) {
    let namespace = Arc::clone(machine(lab));
    let director = Director::start_as(instance, mode, namespace, CONFIGURATION).unwrap();
    let attached = director.attached("eth0").unwrap();
    // On a veth pair, `auto` means this.
    let expected = if mode == Mode::Auto {
        Mode::Generic
    } else {
        mode
    };
    assert_eq!(attached, Some(expected));
    let client = lab.client("client", SERVICE).unwrap();
    assert_eq!(servers(&client), ["web23", "web47", "web47"]);
}

/// Who answered three requests.
#[track_caller]
fn servers(client: &Client) -> Vec<String> {
    let mut servers = client.servers(3).unwrap();
    servers.sort();
    servers
}
