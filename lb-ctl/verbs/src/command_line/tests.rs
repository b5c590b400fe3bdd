use clap::{CommandFactory, error::ErrorKind};
use lb_model::{
    Change, End, Method, Scheduler, ServerOptions, ServiceOptions, not_yet, spelling::Named,
};

use super::*;
use crate::{flags::Flags, machine::Mode};

fn parse(line: &str) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from(line.split(' '))
}

fn change(line: &str) -> (&'static str, Change) {
    match parse(line).unwrap().verb {
        Verb::Service(verb) => verb.change().unwrap(),
        Verb::Server(verb) => verb.change().unwrap(),
        other => panic!("{other:?} changes nothing"),
    }
}

/// The help of a verb such as `service set`.
fn help(verb: &str) -> String {
    let error = parse(&format!("lb-ctl {verb} --help")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisplayHelp);
    error.to_string()
}

#[test]
fn the_command_line_is_well_formed() {
    CommandLine::command().debug_assert();
}

#[test]
fn what_follows_ipvsadm_is_left_to_ipvsadm() {
    let line = "lb-ctl --instance web ipvsadm -L --help -n --instance x -- --stats";
    let command_line = parse(line).unwrap();
    assert_eq!(command_line.instance.as_str(), "web");
    let Verb::Ipvsadm(Ipvsadm { arguments }) = command_line.verb else {
        panic!("{:?} is another verb", command_line.verb);
    };
    let (_, expected) = line.split_once("ipvsadm ").unwrap();
    assert_eq!(arguments, expected.split(' ').collect::<Vec<_>>());
}

#[test]
fn verbs_become_changes() {
    let id = "tcp/192.168.1.1:80";
    assert_eq!(
        change(&format!(
            "lb-ctl service add {id} --scheduler wrr --forward nat --name web"
        )),
        (
            "lb-ctl service add",
            Change::AddService {
                id: id.parse().unwrap(),
                options: ServiceOptions {
                    name: Some("web".parse().unwrap()),
                    scheduler: Scheduler::Wrr,
                    forward: Method::Nat,
                    ..ServiceOptions::default()
                },
            }
        )
    );
    assert_eq!(
        change(&format!(
            "lb-ctl server add {id} 10.0.0.2:8080 --weight 2 --forward nat"
        )),
        (
            "lb-ctl server add",
            Change::AddServer {
                service: id.parse().unwrap(),
                server: "10.0.0.2:8080".parse().unwrap(),
                options: ServerOptions {
                    weight: 2,
                    forward: Some(Method::Nat),
                    ..ServerOptions::default()
                },
                end: End::Tail,
            }
        )
    );
    assert_eq!(
        change("lb-ctl server drain web 10.0.0.2"),
        (
            "lb-ctl server drain",
            Change::SetServer {
                service: "web".parse().unwrap(),
                server: "10.0.0.2".parse().unwrap(),
                set: serde_json::from_str(r#"{"weight": 0}"#).unwrap(),
            }
        )
    );
    assert_eq!(
        change("lb-ctl service set web --name "),
        (
            "lb-ctl service set",
            Change::SetService {
                service: "web".parse().unwrap(),
                set: serde_json::from_str(r#"{"name": null}"#).unwrap(),
            }
        )
    );
}

#[test]
fn every_option_is_a_flag_of_add_and_set_and_help_says_what_it_is() {
    fn flags<T: Flags>(noun: &str) {
        for verb in ["add", "set"] {
            let help = help(&format!("{noun} {verb}"));
            for row in T::ROWS {
                let flag = format!("--{} <{}>", row.key.replace('_', "-"), row.hint);
                let told = help.contains(&flag) && help.contains(row.help);
                let usable = !T::UNUSED.contains(&row.key);
                assert_eq!(told, usable, "{noun} {verb} {flag}\n{help}");
            }
        }
    }
    flags::<ServiceOptions>("service");
    flags::<ServerOptions>("server");
    assert!(
        help("service add").contains(
            "How it chooses a server for a new connection: rr, wrr, lc, wlc [default: wlc]"
        )
    );
    let set = help("service set");
    assert!(set.contains("which the other verbs take; an empty value removes it"));
    assert!(!set.contains("[default: wlc]"));
}

#[test]
fn options_that_the_not_yet_does_not_act_on_are_understood_so_that_they_are_refused_by_name() {
    let (_, change) = change("lb-ctl service set web --persistence 60s --one-packet yes");
    let Change::SetService { set, .. } = change else {
        panic!("{change:?}");
    };
    let mut options = ServiceOptions::default();
    set.put(&mut options).unwrap();
    let refused = not_yet::service_options(&options);
    let keys: Vec<_> = refused.iter().map(|not_yet| not_yet.key).collect();
    assert_eq!(keys, ["persistence", "one_packet"]);
}

#[test]
fn the_instance_can_be_anywhere_in_the_line() {
    for line in ["lb-ctl --instance a detach", "lb-ctl detach --instance a"] {
        assert_eq!(parse(line).unwrap().instance.as_str(), "a");
    }
    assert!(parse("lb-ctl --instance ../x detach").is_err());
}

#[test]
fn the_daemon_takes_interfaces_and_a_mode() {
    let line = "lb-ctl run --config lb.yaml --interface eth0 --interface eth1 --mode generic";
    let Verb::Run(run) = parse(line).unwrap().verb else {
        panic!("not run");
    };
    assert_eq!(run.interfaces, ["eth0", "eth1"]);
    assert_eq!(run.mode, Mode::Generic);
    assert!(parse("lb-ctl run").is_err());
    assert!(parse("lb-ctl run --config lb.yaml --interface a/b").is_err());
}

#[test]
fn xtask_knows_the_daemons_options_and_refuses_others_before_it_builds() {
    let mut command = CommandLine::command();
    command.build();
    let run = command.find_subcommand("run").unwrap();
    let taken = run
        .get_arguments()
        .filter(|argument| argument.get_id() != "help");
    let mut taken: Vec<_> = taken
        .map(|argument| format!("--{}", argument.get_long().unwrap()))
        .collect();
    let known = xtask::arguments::RUN.flags.iter();
    let mut known: Vec<_> = known.map(|flag| flag.name.to_owned()).collect();
    taken.sort();
    known.sort();
    assert_eq!(known, taken);
}

#[test]
fn wrong_values_are_refused_with_what_is_right() {
    for (line, expected) in [
        ("lb-ctl service add 192.168.1.1:80", "write tcp/IP:PORT"),
        (
            "lb-ctl service add tcp/192.168.1.1:80 --scheduler wrrr",
            "did you mean `wrr`?",
        ),
        (
            "lb-ctl service add tcp/192.168.1.1:80 --schedular wrr",
            "'--scheduler'",
        ),
        ("lb-ctl server add web 10.0.0.1 --weight x", "whole number"),
        ("lb-ctl server set web 10.0.0.1", "--weight"),
        ("lb-ctl service set web", "give at least one of --name, "),
        ("lb-ctl stats --interval 2", "--watch"),
        ("lb-ctl stats --watch --interval 0", "0.1 to 86400"),
        ("lb-ctl conns --state BUSY", "use ESTABLISHED"),
        ("lb-ctl conns --client nobody", "names are not looked up"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
    for line in [
        "lb-ctl server add web 10.0.0.1 --weight 65536",
        "lb-ctl server set web 10.0.0.1 --weight 65536",
    ] {
        let Verb::Server(verb) = parse(line).unwrap().verb else {
            panic!("not server");
        };
        let fault = verb.change().unwrap_err().to_string();
        assert!(fault.contains("from 0 to 65535"), "{fault}");
    }
}

#[test]
fn states_are_taken_in_either_case() {
    let Verb::Conns(conns) = parse("lb-ctl conns --state syn_recv").unwrap().verb else {
        panic!("not conns");
    };
    let state = conns.filter().state;
    assert_eq!(state.as_ref().map(Named::name), Some("SYN_RECV"));
}

#[test]
fn what_does_not_exist_yet_is_not_listed() {
    let help = CommandLine::command().render_help().to_string();
    assert!(help.contains("detach") && !help.contains("doctor"));
    assert_eq!(
        parse("lb-ctl doctor").unwrap_err().kind(),
        ErrorKind::InvalidSubcommand
    );
}

/// The lines of the part `Examples` of a help text that call this program.
fn examples(help: &str) -> Vec<&str> {
    let Some((_, examples)) = help.split_once("Examples:\n") else {
        return Vec::new();
    };
    let lines = examples.lines().map(str::trim);
    lines.filter(|line| line.starts_with("lb-ctl ")).collect()
}

#[test]
fn every_help_has_examples_which_are_right_and_fit_the_screen() {
    fn visit(command: &mut clap::Command, path: &str) {
        if ["help", "ipvsadm"].contains(&command.get_name()) {
            return;
        }
        let help = command.render_help().to_string();
        let after = command.get_after_help().map(ToString::to_string);
        let after = after.unwrap_or_default();
        assert!(
            after.lines().all(|line| line.len() <= 95),
            "{path}: {after}"
        );
        let nested: Vec<_> = command.get_subcommands_mut().collect();
        if nested.is_empty() {
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{path}: {help}");
            for example in examples {
                // What explains an example stands behind two spaces.
                let line = example.split("  ").next().unwrap_or_default();
                let line = line.split(" |").next().unwrap_or_default();
                let line = line.replace("\"for the office\"", "office");
                parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
        for command in nested {
            let path = format!("{path} {}", command.get_name());
            visit(command, &path);
        }
    }
    let mut command = CommandLine::command();
    command.build();
    visit(&mut command, "lb-ctl");
}
