//! What ipvsadm did on a real kernel, run again: every command's output, messages and exit
//! code are the same, byte for byte.

#![expect(
    clippy::unwrap_used,
    reason = "all of it is tests, also what several of them share"
)]

mod machine;
mod memory;

use std::{collections::VecDeque, fmt::Write as _, io};

use lb_api::Connection;
use lb_ipvsadm::{End, Lines, Program, Session};
use lb_model::{Counters, Load, Method, Protocol, State};

use self::{machine::Machine, memory::Memory};

/// All that `ipvsadm -h` writes.
const USAGE: &str = concat!(
    "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n",
    include_str!("../../src/usage.txt")
);

/// A command and its outcome.
#[derive(Default)]
struct Capture {
    command: String,
    input: VecDeque<String>,
    /// Standard output and error, and the exit code.
    outcome: String,
}

/// The captures of a file, by their subjects.
fn captures(file: &str) -> Vec<(&str, Vec<Capture>)> {
    let mut groups: Vec<(&str, Vec<Capture>)> = Vec::new();
    let begin = file.find("\n### ").unwrap();
    for line in file[begin..].lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("### ") {
            groups.push((title, Vec::new()));
            continue;
        }
        let captures = &mut groups.last_mut().unwrap().1;
        if let Some(command) = line.strip_prefix("$ ") {
            captures.push(Capture {
                command: command.to_owned(),
                ..Capture::default()
            });
            continue;
        }
        let capture = captures.last_mut().unwrap();
        match line.strip_prefix("<|") {
            Some(input) => capture.input.push_back(input.replace("@r", "\r") + "\n"),
            None => writeln!(capture.outcome, "{line}").unwrap(),
        }
    }
    groups
}

/// A command's words as a shell splits them. The captures have single quotes only.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    for letter in command.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_with(String::new).push(letter),
        }
    }
    words.extend(word);
    words
}

/// Standard input.
struct Input(VecDeque<String>);

impl Lines for Input {
    fn next(&mut self) -> io::Result<Option<String>> {
        Ok(self.0.pop_front())
    }

    fn idle(&mut self) -> bool {
        false
    }
}

/// Runs a command. Gives its outcome as the captures write it.
fn outcome(memory: &mut Memory, command: &str, input: VecDeque<String>) -> String {
    let words = words(command);
    let (program, arguments) = words.split_first().unwrap();
    let mut session = Session {
        kernel: memory,
        names: &Machine,
        input: Input(input),
        output: Vec::new(),
        errors: Vec::new(),
    };
    let code = session
        .run(Program::called(program.as_ref()).unwrap(), arguments)
        .unwrap_or_else(|end: End| panic!("{command}: {end:?}"));
    let mut outcome = String::new();
    let output = String::from_utf8(session.output).unwrap();
    if output == USAGE {
        outcome.push_str("1=usage\n");
    } else {
        tag('1', &output, &mut outcome);
    }
    tag(
        '2',
        &String::from_utf8(session.errors).unwrap(),
        &mut outcome,
    );
    writeln!(outcome, "exit {code}").unwrap();
    outcome
}

fn tag(tag: char, text: &str, to: &mut String) {
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    for line in text.lines() {
        writeln!(to, "{tag}|{line}").unwrap();
    }
}

/// Runs all captures of a file. Gives their number.
fn run_again(file: &str) -> usize {
    let mut count = 0;
    let mut differences = String::new();
    for (title, captures) in captures(file) {
        let mut memory = Memory::default();
        for capture in captures {
            count += 1;
            let seen = outcome(&mut memory, &capture.command, capture.input);
            if seen != capture.outcome {
                writeln!(
                    differences,
                    "{title}\n$ {}\n{}but here:\n{seen}",
                    capture.command, capture.outcome
                )
                .unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    count
}

/// Connections that a real kernel had, in two pages.
fn connected() -> Memory {
    let row = |protocol, expires, state, client: &str, service: &str, server: &str| Connection {
        protocol,
        expires,
        state,
        client: client.parse().unwrap(),
        service: service.parse().unwrap(),
        server: server.parse().unwrap(),
        method: Method::Dr,
    };
    let tcp = row(
        Protocol::Tcp,
        57,
        State::SynRecv,
        "10.2.0.250:41000",
        "10.9.9.9:80",
        "10.2.0.1:8080",
    );
    let udp = row(
        Protocol::Udp,
        295,
        State::Udp,
        "10.2.0.250:40001",
        "10.9.9.9:53",
        "10.2.0.7:53",
    );
    Memory {
        connections: vec![vec![tcp], vec![udp]],
        ..Memory::default()
    }
}

fn looked_at(memory: &mut Memory, command: &str) -> String {
    outcome(memory, command, VecDeque::new())
}

#[test]
fn connections_are_listed_as_by_ipvsadm() {
    let mut memory = connected();
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Lnc"),
        "\
1|IPVS connection entries
1|pro expire state       source             virtual            destination
1|TCP 00:57  SYN_RECV    10.2.0.250:41000   10.9.9.9:80        10.2.0.1:8080
1|UDP 04:55  UDP         10.2.0.250:40001   10.9.9.9:53        10.2.0.7:53
exit 0
"
    );
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Lc"),
        "\
1|IPVS connection entries
1|pro expire state       source             virtual            destination
1|TCP 00:57  SYN_RECV    10.2.0.250:41000   10.9.9.9:http      10.2.0.1:http-alt
1|UDP 04:55  UDP         10.2.0.250:40001   10.9.9.9:domain    web7.example.com:domain
exit 0
"
    );
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Lnc --persistent-conn")
            .lines()
            .nth(1),
        Some(
            "1|pro expire state       source             virtual            destination        \
             pe name          pe_data"
        )
    );
}

/// What a real kernel counted after three datagrams and a SYN.
fn used() -> Memory {
    let mut memory = Memory::default();
    for command in [
        "ipvsadm -A -t 10.9.9.9:80 -s rr",
        "ipvsadm -a -t 10.9.9.9:80 -r 10.2.0.1:8080 -m",
        "ipvsadm -A -u 10.9.9.9:53 -s rr",
        "ipvsadm -a -u 10.9.9.9:53 -r 10.2.0.7",
    ] {
        assert_eq!(looked_at(&mut memory, command), "exit 0\n");
    }
    let counted = |connections, in_packets, in_bytes| Counters {
        connections,
        in_packets,
        in_bytes,
        ..Counters::default()
    };
    for (service, counters, active, inactive) in
        [(0, counted(1, 2, 120), 1, 0), (1, counted(3, 3, 180), 0, 3)]
    {
        let service = &mut memory.services[service];
        service.counters = counters;
        service.servers[0].counters = counters;
        service.servers[0].load = Load { active, inactive };
    }
    memory
}

#[test]
fn what_passed_is_listed_as_by_ipvsadm() {
    let mut memory = used();
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Ln"),
        "\
1|IP Virtual Server version 1.2.1 (size=4096)
1|Prot LocalAddress:Port Scheduler Flags
1|  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
1|TCP  10.9.9.9:80 rr
1|  -> 10.2.0.1:8080                Masq    1      1          0         
1|UDP  10.9.9.9:53 rr
1|  -> 10.2.0.7:53                  Route   1      0          3         
exit 0
"
    );
    let stats = |web: &str, dns: &str| {
        format!(
            "\
1|IP Virtual Server version 1.2.1 (size=4096)
1|Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
1|  -> RemoteAddress:Port
1|TCP  10.9.9.9:80                 {web}
1|  -> 10.2.0.1:8080               {web}
1|UDP  10.9.9.9:53                 {dns}
1|  -> 10.2.0.7:53                 {dns}
exit 0
"
        )
    };
    let none = "        0        0        0        0        0";
    let web = "        1        2        0      120        0";
    let dns = "        3        3        0      180        0";
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Ln --stats"),
        stats(web, dns)
    );
    looked_at(&mut memory, "ipvsadm -Z -t 10.9.9.9:80");
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Ln --stats"),
        stats(none, dns)
    );
    looked_at(&mut memory, "ipvsadm -Z");
    assert_eq!(
        looked_at(&mut memory, "ipvsadm -Ln --stats"),
        stats(none, none)
    );
}

#[test]
fn arguments_are_judged_as_by_ipvsadm() {
    assert_eq!(run_again(include_str!("arguments.txt")), 2196);
}

#[test]
fn tables_are_changed_listed_saved_and_restored_as_by_ipvsadm() {
    assert_eq!(run_again(include_str!("tables.txt")), 1395);
}
