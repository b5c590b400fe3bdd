use super::*;
use crate::desired::{Method, Scheduler, Service, Timeouts, strategies};
use proptest::prelude::*;

/// The problems of a text, one a line.
fn refused(text: &str) -> String {
    parse(text, "lb.yaml").unwrap_err().to_string()
}

#[test]
fn the_example_of_the_manual_reads_as_it_says() {
    let text = "\
interfaces: [eth0]                 # where the XDP program is attached
connections: 1000000
timeouts: {tcp: 900s, tcpfin: 2m, udp: 300}
services:
  - name: web
    address: 192.168.100.11:80
    protocol: tcp
    scheduler: wrr
    forward: dr
    servers:
      - {address: 192.168.100.47, weight: 2}
      - {address: 192.168.100.23, weight: 1, forward: tun}
      - {address: 127.0.0.1}
      - {address: 192.168.100.48:8080, forward: nat}
";
    let desired = parse(text, "lb.yaml").unwrap();
    assert_eq!(desired.interfaces, ["eth0"]);
    assert_eq!(desired.timeouts, Timeouts::default());
    let service = &desired.services[0];
    assert_eq!(service.id.to_string(), "tcp/192.168.100.11:80");
    assert_eq!(service.name.as_deref(), Some("web"));
    let servers: Vec<_> = service
        .servers
        .iter()
        .map(|s| (s.id.to_string(), s.weight, s.method))
        .collect();
    assert_eq!(
        servers,
        [
            ("192.168.100.47:80".into(), 2, Method::Dr),
            ("192.168.100.23:80".into(), 1, Method::Tun),
            ("127.0.0.1:80".into(), 1, Method::Dr),
            ("192.168.100.48:8080".into(), 1, Method::Nat),
        ]
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let desired = parse("services:\n  - address: 192.0.2.1:80\n", "lb.yaml").unwrap();
    assert_eq!(
        desired,
        Desired {
            services: vec![Service {
                id: "tcp/192.0.2.1:80".parse().unwrap(),
                name: None,
                scheduler: Scheduler::Wlc,
                forward: Method::Dr,
                servers: vec![],
            }],
            ..Desired::default()
        }
    );
    assert_eq!(
        parse("services: []", "lb.yaml").unwrap(),
        Desired::default()
    );
    assert_eq!(parse("services:\n", "lb.yaml").unwrap(), Desired::default());
}

#[test]
fn every_wrong_value_is_reported_with_its_place() {
    let text = "\
interfaces: [eth0, eth0, a/b]
connections: 0
timeouts: {tcp: 1d, udp: }
services:
  - address: '[2001:db8::1]:80'
    scheduler: wrrr
  - address: 192.0.2.1:80
    persistence: {timeout: 60s}
    servers:
      - {address: 10.0.0.1, weight: two}
      - {address: 192.0.2.1}
      - {address: 10.0.0.2:8080}
      - {address: 10.0.0.3, forward: fullnat}
      - {address: 10.0.0.4, weight: 65536}
      - {address: 10.0.0.5}
      - {address: 10.0.0.5:80, forward: nat}
      - {address: 127.0.0.1, forward: nat}
  - address: 192.0.2.1:80
    name: a b
  - {address: 224.0.0.1:80, protocol: udp, name: x}
  - {address: 127.0.0.1:80, name: x}
  - {address: '192.0.2.1:0', protocol: sctp, scheduler: sed}
";
    let expected = [
        "lb.yaml:1:20: interfaces[1]: eth0 is interfaces[0] already",
        "lb.yaml:1:26: interfaces[2]: `a/b` cannot be an interface",
        "lb.yaml:2:14: connections: `0` is no whole number from 1 to 100000000",
        "lb.yaml:3:17: timeouts.tcp: `1d` is no time: write it like 900s",
        "lb.yaml:3:21: timeouts.udp: it has no value",
        "lb.yaml:5:14: services[0].address: `[2001:db8::1]:80` looks like IPv6, which this director does not balance yet",
        "lb.yaml:6:16: services[0].scheduler: `wrrr` is no scheduler: use rr, wrr, lc or wlc (did you mean `wrr`?)",
        "lb.yaml:8:18: services[1].persistence: this director does not have persistence yet",
        "lb.yaml:10:37: services[1].servers[0].weight: `two` is no whole number from 0 to 65535",
        "lb.yaml:11:19: services[1].servers[1].address: 192.0.2.1 is the service's own address",
        "lb.yaml:12:19: services[1].servers[2].address: port 8080 is not the service's (80)",
        "lb.yaml:13:38: services[1].servers[3].forward: `fullnat` is a forwarding method that this director does not have yet: use dr, nat or tun",
        "lb.yaml:14:37: services[1].servers[4].weight: `65536` is no whole number",
        "lb.yaml:16:19: services[1].servers[6].address: 10.0.0.5:80 is a server of this service already: services[1].servers[5]",
        "lb.yaml:17:19: services[1].servers[7].address: 127.0.0.1 means this director itself",
        "lb.yaml:18:14: services[2].address: tcp/192.0.2.1:80 is a service already: services[1]",
        "lb.yaml:19:11: services[2].name: `a b` cannot name a service",
        "lb.yaml:20:15: services[3].address: 224.0.0.1 is a multicast address",
        "lb.yaml:21:15: services[4].address: 127.0.0.1 is a loopback address",
        "lb.yaml:21:35: services[4].name: `x` is the name of services[3] already",
        "lb.yaml:22:40: services[5].protocol: `sctp` is a protocol that this director does not have yet",
        "lb.yaml:22:57: services[5].scheduler: `sed` is a scheduler that this director does not have yet",
    ];
    let refused = refused(text);
    let lines: Vec<_> = refused.lines().collect();
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
    }
    assert_eq!(lines.len(), expected.len(), "{refused}");
}

#[test]
fn too_many_servers_are_refused() {
    let servers: Vec<_> = (0..1025u32)
        .map(|n| format!("{{address: 10.0.{}.{}}}", 1 + n / 200, 1 + n % 200))
        .collect();
    let text = format!(
        "services:\n  - address: 192.0.2.1:80\n    servers: [{}]\n",
        servers.join(", ")
    );
    assert!(refused(&text).starts_with(
        "lb.yaml:3:14: services[0].servers: 1025 servers, but a service has at most 1024"
    ));
}

#[test]
fn of_very_many_faults_the_first_hundred_are_shown() {
    let refused = refused(&format!("interfaces: [{}]", "a/b, ".repeat(1000)));
    assert_eq!(refused.lines().count(), 101);
    assert!(refused.ends_with("lb.yaml: 900 more faults are not shown"));
}

#[test]
fn aliases_of_aliases_do_not_grow() {
    let mut text = "services:\n  - address: 192.0.2.1:80\n    persistence:\n".to_owned();
    text += "      a: &a [x]\n";
    for (this, last) in ('b'..='z').zip('a'..) {
        text += &format!("      {this}: &{this} [*{last}, *{last}, *{last}, *{last}]\n");
    }
    assert!(refused(&text).starts_with("lb.yaml:4:7: services[0].persistence: "));
    let interfaces = "interfaces: &i [*i]\n";
    assert!(refused(interfaces).starts_with("lb.yaml:"));
}

#[test]
fn port_0_needs_persistence() {
    assert!(
        refused("services: [{address: '192.0.2.1:0'}]").starts_with(
            "lb.yaml:1:22: services[0].address: port 0 (every port) needs persistence"
        )
    );
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    assert_eq!(
        refused("services:\n  - address: 192.0.2.1:80\n    schedular: rr\n"),
        "lb.yaml:3:5: services[0].schedular: there is no such key (did you mean `scheduler`?): \
         use name, address, protocol, scheduler, forward, persistence or servers"
    );
    assert!(
        refused("services:\n  - address: 192.0.2.1:80\n    servers:\n      - {address: 10.0.0.1, port: 8080}\n")
            .starts_with("lb.yaml:4:29: services[0].servers[0].port: there is no such key: use address")
    );
}

#[test]
fn misshapen_files_say_where_and_what_was_expected() {
    for (text, expected) in [
        (
            "services:\n  - name: web\n",
            "lb.yaml:2:5: services[0]: `address` is missing",
        ),
        (
            "services: web\n",
            "lb.yaml:1:11: services: this is the string \"web\", expected a list",
        ),
        (
            "services:\n  - 192.0.2.1:80\n",
            "lb.yaml:2:5: services[0]: this is the string \"192.0.2.1:80\", expected a mapping like",
        ),
        ("services:\n  -\n", "lb.yaml:2:"),
        (
            "services:\n  - address: [2001:db8::1]\n",
            "lb.yaml:2:14: services[0].address: this is a list, expected a single value (in quotes",
        ),
        (
            "- a\n",
            "lb.yaml:1:1: this is a list, expected keys such as `services: [...]`",
        ),
        (
            "connections: 1\nconnections: 2\n",
            "lb.yaml:2:1: connections: this key is written twice",
        ),
        (
            "services:\n  - address: a\n    address: b\n",
            "lb.yaml:3:5: services[0].address: this key is written twice",
        ),
        (
            "services:\n\t- address: 192.0.2.1:80\n",
            "lb.yaml:2:1: found character that cannot start any token, while scanning for the next token (YAML is indented by spaces",
        ),
        (
            "services: [\n",
            "lb.yaml:2:1: did not find expected node content",
        ),
        ("services: *x\n", "lb.yaml:1:11: unknown anchor"),
        (
            &format!("services: {}", "[".repeat(1_000_000)),
            "lb.yaml:1:1011: brackets are nested more than 1000 deep",
        ),
        (
            "\"a\\nb\\e[31m\": 1\n",
            "lb.yaml:1:1: a\\nb\\u{1b}[31m: there is no such key",
        ),
        (
            "services: []\n---\nservices: []\n",
            "lb.yaml: a file holds one document, and a line `---` begins another here",
        ),
        (
            "services: [{address: '192.0.2.1:80', name: 1.10}]\n",
            "lb.yaml:1:44: services[0].name: a number or truth value cannot be a name: put it in quotes",
        ),
    ] {
        let refused = refused(text);
        assert!(
            refused.starts_with(expected),
            "{refused}\nis not\n{expected}"
        );
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[test]
fn a_file_without_contents_is_refused() {
    for text in ["", "\n", "# nothing yet\n", "---\n"] {
        assert!(
            refused(text).starts_with("lb.yaml: there is nothing in it"),
            "{text:?}"
        );
    }
    assert!(refused("~").starts_with("lb.yaml:1:1: this is nothing, expected keys"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let gone = Path::new("/nonexistent/lb.yaml");
    assert_eq!(
        load(gone).unwrap_err().to_string(),
        "cannot read /nonexistent/lb.yaml: No such file or directory (os error 2)"
    );
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("lb.yaml");
    fs::write(&binary, b"services: []\n# \xff\n").unwrap();
    assert!(
        load(&binary)
            .unwrap_err()
            .to_string()
            .ends_with("line 2 is not UTF-8")
    );
    let huge = Path::new("/dev/zero");
    assert!(
        load(huge)
            .unwrap_err()
            .to_string()
            .ends_with("larger than 7 MiB")
    );
}

#[test]
fn a_saved_file_reads_like_a_written_one() {
    let text = "\
interfaces: [eth0]
timeouts: {tcp: 600s}
services:
  - name: web
    address: 192.168.100.11:80
    scheduler: wrr
    servers:
      - {address: 192.168.100.47, weight: 2}
      - {address: 192.168.100.23, forward: tun}
      - {address: 192.168.100.24:8080, forward: nat}
  - address: 192.168.100.11:53
    protocol: udp
    forward: nat
";
    let mut saved = Vec::new();
    write(&parse(text, "lb.yaml").unwrap(), &mut saved).unwrap();
    assert_eq!(String::from_utf8(saved).unwrap(), text);
}

proptest! {
    #[test]
    fn what_is_saved_reads_back_the_same(desired in strategies::desired()) {
        let mut saved = Vec::new();
        write(&desired, &mut saved).unwrap();
        let text = String::from_utf8(saved).unwrap();
        prop_assert_eq!(parse(&text, "lb.yaml").map_err(|e| format!("{e}\n{text}")), Ok(desired));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z0-9:{}\\[\\],\\-\\n *&!~'\"#.]{0,60}") {
        let _ = parse(&text, "lb.yaml");
        let _ = Places::of(&text, ["services[0].address"]);
    }
}
