//! What is asked of the kernel: once for each command, and before anything is said.

#![expect(
    clippy::unwrap_used,
    reason = "all of it is tests, also what several of them share"
)]

use std::{collections::VecDeque, io, time::Instant};

use lb_api::{Connection, Listing, MAX_REQUEST, Numbers, Page, Request};
use lb_ipvsadm::{End, Failure, Kernel, Lines, Names, Program, Refused, Session};
use lb_model::{
    Change, Desired, Method, Protocol, ServiceId, State, Timeouts, Undo,
    sync::{Role, Sync},
};

/// A kernel that notes what it is asked, if it is there.
#[derive(Default)]
struct Noted {
    absent: bool,
    asked: Vec<String>,
    /// The last request for changes.
    last: Option<Request>,
}

impl Noted {
    fn note<T>(&mut self, asked: String, answer: T) -> Result<T, Failure> {
        if self.absent {
            return Err(Failure::Absent("no daemon".into()));
        }
        self.asked.push(asked);
        Ok(answer)
    }
}

impl Kernel for &mut Noted {
    fn change(&mut self, changes: Vec<Change>, command: &str) -> Result<Vec<Refused>, Failure> {
        let asked = format!("{} changes: {command}", changes.len());
        let request = Request::Change {
            changes,
            tell: false,
            verb: command.to_owned(),
        };
        let bytes = serde_json::to_vec(&request).unwrap().len();
        assert!(bytes < MAX_REQUEST, "{bytes}");
        self.last = Some(request);
        self.note(asked, Vec::new())
    }

    fn list(&mut self, _: Option<ServiceId>, _: Numbers) -> Result<Option<Listing>, Failure> {
        self.note("list".into(), Some(Listing::default()))
    }

    fn connections(&mut self, from: u64) -> Result<Page, Failure> {
        let at = "192.0.2.1:80".parse().unwrap();
        let row = Connection {
            protocol: Protocol::Tcp,
            client: at,
            service: at,
            server: at,
            state: State::Established,
            expires: 900,
            method: Method::Dr,
        };
        let page = Page {
            rows: vec![row],
            found: 1,
            next: (from < 20).then_some(from + 10),
        };
        self.note(format!("connections from {from}"), page)
    }

    fn timeouts(&mut self) -> Result<Timeouts, Failure> {
        self.note("timeouts".into(), Timeouts::default())
    }

    fn sync_daemons(&mut self) -> Result<Vec<(Role, Sync)>, Failure> {
        self.note("sync daemons".into(), Vec::new())
    }
}

/// Standard input; idle after the lines before each empty one.
struct Input(VecDeque<String>);

impl Lines for Input {
    fn next(&mut self) -> io::Result<Option<String>> {
        Ok(self.0.pop_front())
    }

    fn idle(&mut self) -> bool {
        self.0.front().is_some_and(String::is_empty)
    }
}

/// A machine without names.
struct Nameless;

impl Names for Nameless {
    fn address(&self, _: &str) -> Option<std::net::Ipv4Addr> {
        None
    }

    fn port_of(&self, _: &str, _: Protocol) -> Option<u16> {
        None
    }

    fn host(&self, _: std::net::Ipv4Addr) -> Option<String> {
        None
    }

    fn port(&self, _: u16, _: Protocol) -> Option<String> {
        None
    }
}

/// Runs a command line. Gives its exit code, and what it wrote to standard output and error.
fn run(kernel: &mut Noted, command: &str, input: Vec<String>) -> (Result<u8, End>, String) {
    let words: Vec<_> = command.split(' ').map(str::to_owned).collect();
    let mut session = Session {
        kernel,
        names: &Nameless,
        input: Input(input.into()),
        output: Vec::new(),
        errors: Vec::new(),
    };
    let program = Program::called(words[0].as_ref()).unwrap();
    let code = session.run(program, &words[1..]);
    let written = [session.output, session.errors].concat();
    (code, String::from_utf8(written).unwrap())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_command_asks_once() {
    for (command, asked) in [
        ("ipvsadm -A -t 192.0.2.1:80", "1 changes: ipvsadm -A"),
        (
            "ipvsadm --add-server -t 192.0.2.1:80 -r 10.0.0.1",
            "1 changes: ipvsadm -a",
        ),
        ("ipvsadm --set 1 2 3", "1 changes: ipvsadm --set"),
        ("ipvsadm -C", "1 changes: ipvsadm -C"),
        ("ipvsadm", "list"),
        ("ipvsadm -Ln", "list"),
        ("ipvsadm -S", "list"),
        ("ipvsadm-save", "list"),
        ("ipvsadm -L --timeout", "timeouts"),
        ("ipvsadm -L --daemon", "sync daemons"),
    ] {
        let mut kernel = Noted::default();
        let (code, _) = run(&mut kernel, command.trim_end(), Vec::new());
        assert_eq!(code.unwrap(), 0, "{command}");
        assert_eq!(kernel.asked, [asked], "{command}");
    }
    for command in [
        "ipvsadm -h",
        "ipvsadm --help",
        "ipvsadm -v",
        "ipvsadm --version",
    ] {
        let mut kernel = Noted::default();
        run(&mut kernel, command, Vec::new()).0.unwrap();
        assert!(kernel.asked.is_empty(), "{command}");
    }
}

#[test]
fn without_a_kernel_nothing_else_is_said() {
    for command in [
        "ipvsadm",
        "ipvsadm -Lnc",
        "ipvsadm -A -t 192.0.2.1:80",
        "ipvsadm -A -t 192.0.2.1:80 -w 1",
        "ipvsadm nonsense",
        "ipvsadm -R",
        "ipvsadm -hL",
        "ipvsadm-save",
        "ipvsadm-save -x",
        "ipvsadm-restore",
    ] {
        let mut kernel = Noted {
            absent: true,
            ..Noted::default()
        };
        let (end, written) = run(&mut kernel, command, lines("-A -t 192.0.2.1:80 -w 1"));
        assert!(
            matches!(end, Err(End::Failure(Failure::Absent(_)))),
            "{command}: {end:?}"
        );
        assert_eq!(written, "", "{command}");
    }
    let mut kernel = Noted {
        absent: true,
        ..Noted::default()
    };
    let (code, written) = run(&mut kernel, "ipvsadm -v", Vec::new());
    assert_eq!(code.unwrap(), 0);
    assert!(written.starts_with("ipvsadm v1.31"));
}

#[test]
fn connections_are_asked_for_page_by_page() {
    let mut kernel = Noted::default();
    let (code, written) = run(&mut kernel, "ipvsadm -Lnc", Vec::new());
    assert_eq!(code.unwrap(), 0);
    assert_eq!(written.lines().count(), 2 + 3);
    assert_eq!(
        kernel.asked,
        [
            "connections from 0",
            "connections from 10",
            "connections from 20"
        ]
    );
}

#[test]
fn restored_changes_are_made_together_where_no_line_has_to_be_waited_for() {
    let mut kernel = Noted::default();
    let mut input = lines("-A -t 192.0.2.1:80\n-A -t 192.0.2.2:80\n-A -t 192.0.2.3:80");
    input.insert(2, String::new());
    let (code, _) = run(&mut kernel, "ipvsadm -R", input);
    assert_eq!(code.unwrap(), 0);
    assert_eq!(
        kernel.asked,
        ["timeouts", "2 changes: ipvsadm -R", "1 changes: ipvsadm -R"]
    );
}

#[test]
fn more_changes_than_a_request_holds_are_several_requests() {
    // A long line makes a change of more than 250 bytes.
    let line = "-a -u [2001:db8:1111:1111:1111:1111:1111:1111]:65535 \
                -r [2001:db8:1111:1111:1111:1111:1111:1111]:65535 \
                -i -w 2147483647 -x 2147483647 -y 2147483647 \
                --tun-type gue --tun-port 65535 --tun-remcsum\n";
    let input = vec![line.to_owned(); MAX_REQUEST / 250];
    let count = input.len();
    let mut kernel = Noted::default();
    let (code, _) = run(&mut kernel, "ipvsadm-restore", input);
    assert_eq!(code.unwrap(), 0);
    let counts = kernel.asked.iter().map(|asked| {
        let (count, _) = asked.split_once(' ').unwrap();
        count.parse::<usize>().unwrap()
    });
    assert!(kernel.asked.len() > 2, "{:?}", kernel.asked);
    assert_eq!(counts.sum::<usize>(), 1 + count);
}

/// By hand: `cargo test --release -p lb-ipvsadm --test requests -- --ignored --nocapture`
#[test]
#[ignore = "measures, and asserts nothing of what it measures"]
fn what_it_costs_to_restore_10_000_services_with_10_servers() {
    let mut input = Vec::new();
    for service in 0..10_000u32 {
        let vip = std::net::Ipv4Addr::from_bits(0x0ac8_0000 + service);
        input.push(format!("-A -t {vip}:80 -s wrr\n"));
        for server in 0..10 {
            let rip = std::net::Ipv4Addr::from_bits(0x0a64_0000 + service * 10 + server);
            input.push(format!(
                "-a -t {vip}:80 -r {rip}:80 -i -w 1 --tun-type ipip\n"
            ));
        }
    }
    let mut kernel = Noted::default();
    let all = Instant::now();
    run(&mut kernel, "ipvsadm-restore", input).0.unwrap();
    let all = all.elapsed();
    let last = kernel.last.unwrap();

    let encoding = Instant::now();
    let json = serde_json::to_vec(&last).unwrap();
    let encoding = encoding.elapsed();
    let decoding = Instant::now();
    let Request::Change { changes, .. } = serde_json::from_slice(&json).unwrap() else {
        panic!("restoring changes something")
    };
    let decoding = decoding.elapsed();

    let (mut desired, mut undo) = (Desired::default(), Undo::default());
    let mut make = |changes: &[Change]| {
        let begin = Instant::now();
        for change in changes {
            change.make(&mut desired, &mut undo).unwrap();
        }
        begin.elapsed()
    };
    let adding = make(&changes);
    let mut weights = Vec::new();
    for change in &changes {
        if let Change::AddServer {
            service, server, ..
        } = change
        {
            weights.push(Change::SetServer {
                service: service.clone(),
                server: *server,
                set: serde_json::from_str(r#"{"weight":2,"forward":"tun"}"#).unwrap(),
            });
        }
    }
    let setting = make(&weights);
    println!(
        "{} changes, {} bytes: parsed and encoded once in {all:?}, encoded in {encoding:?}, \
         decoded in {decoding:?}, made in {adding:?}; {} weights set in {setting:?}",
        changes.len(),
        json.len(),
        weights.len()
    );
}
