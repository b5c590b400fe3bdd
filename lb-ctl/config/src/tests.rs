use std::fs;

use lb_model::{
    Desired, Method, Options, Scheduler, Server, ServerOptions, Service, ServiceOptions, Timeouts,
    packet_path, spelling, strategies,
};
use proptest::prelude::*;

use super::*;

/// The problems of a text, one a line.
fn refused(text: &str) -> String {
    parse(text, "lb.yaml").unwrap_err().to_string()
}

/// These keys, and those of the options that the packet path acts on: `address, weight or forward`.
fn usable<T: Options>(others: &[&str], unused: &[&str]) -> String {
    let options = T::ROWS.iter().map(|row| row.key);
    let options = options.filter(|key| !unused.contains(key));
    let keys: Vec<_> = others.iter().copied().chain(options).collect();
    spelling::alternatives(&keys)
}

/// What a text means on its own.
fn desired(text: &str) -> Desired {
    match parse(text, "lb.yaml") {
        Ok(written) => written.alone(),
        Err(error) => panic!("{error}"),
    }
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
    let desired = desired(text);
    assert_eq!(desired.interfaces, ["eth0"]);
    assert_eq!(desired.timeouts, Timeouts::default());
    let service = desired.services.find(&"web".parse().unwrap()).unwrap();
    assert_eq!(service.id.to_string(), "tcp/192.168.100.11:80");
    assert_eq!(service.options.scheduler, Scheduler::Wrr);
    let server = |server: &Server| {
        let method = service.method(server);
        (server.id.to_string(), server.options.weight, method)
    };
    let servers: Vec<_> = service.servers.iter().map(server).collect();
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
fn the_readme_shows_every_option_in_a_file_that_is_right() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("## Configuration").unwrap();
    let (_, rest) = rest.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    desired(example);
    fn shown<T: Options>(example: &str, unused: &[&str]) {
        for key in T::ROWS.iter().map(|row| row.key) {
            let shown = example.contains(&format!("{key}: "));
            assert!(shown || unused.contains(&key), "not in the README: {key}");
        }
    }
    shown::<ServiceOptions>(example, packet_path::UNUSED_SERVICE_OPTIONS);
    shown::<ServerOptions>(example, packet_path::UNUSED_SERVER_OPTIONS);
    shown::<Timeouts>(example, &[]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let service = Service {
        id: "tcp/192.0.2.1:80".parse().unwrap(),
        options: ServiceOptions::default(),
        servers: vec![],
    };
    assert_eq!(
        desired("services:\n  - address: 192.0.2.1:80\n"),
        Desired {
            services: [service].into_iter().collect(),
            ..Desired::default()
        }
    );
    assert_eq!(desired("services: []"), Desired::default());
    assert_eq!(desired("services:\n"), Desired::default());
}

#[test]
fn a_section_that_is_left_out_is_not_an_empty_one() {
    let written = |text| parse(text, "lb.yaml").unwrap();
    assert_eq!(
        written("timeouts: {udp: 30s}\n"),
        Written {
            timeouts: serde_json::from_str(r#"{"udp": 30}"#).unwrap(),
            ..Written::default()
        }
    );
    for text in ["services: []\n", "services:\n"] {
        let none = Written {
            services: Some(Vec::new()),
            ..Written::default()
        };
        assert_eq!(written(text), none, "{text:?}");
    }
    let interfaces = written("interfaces: [eth0]\nconnections: 1000000\n");
    assert_eq!(interfaces.interfaces, Some(vec!["eth0".to_owned()]));
    assert_eq!(interfaces.connections, Some(1_000_000));
    assert_eq!(interfaces.services, None);
}

#[test]
fn a_director_has_at_least_one_interface() {
    for text in ["interfaces: []\n", "interfaces:\n", "interfaces: &x []\n"] {
        let error = parse(text, "lb.yaml").unwrap_err().to_string();
        assert!(error.starts_with("lb.yaml:1:"), "{error}");
        assert!(error.contains("name at least one interface"), "{error}");
    }
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
  - {mark: 5, forward: n, servers: [{address: '2001:db8::1', lower: 5}]}
";
    let expected = [
        "lb.yaml:1:20: interfaces[1]: eth0 is interfaces[0] already",
        "lb.yaml:1:26: interfaces[2]: `a/b` cannot be an interface",
        "lb.yaml:2:14: connections: `0` is not a whole number from 1 to 100000000",
        "lb.yaml:3:17: timeouts.tcp: `1d` is not a time: write it like 900s",
        "lb.yaml:3:21: timeouts.udp: it has no value",
        "lb.yaml:5:14: services[0].address: 2001:db8::1 is an IPv6 address, which this director does not balance yet",
        "lb.yaml:6:16: services[0].scheduler: `wrrr` is not a valid scheduler: use rr, wrr, lc or wlc (did you mean `wrr`?)",
        "lb.yaml:8:18: services[1].persistence: this director does not support `persistence` yet",
        "lb.yaml:10:37: services[1].servers[0].weight: `two` is not a whole number",
        "lb.yaml:11:19: services[1].servers[1].address: 192.0.2.1 is the service's own address",
        "lb.yaml:12:19: services[1].servers[2].address: port 8080 is not the service's (80)",
        "lb.yaml:13:38: services[1].servers[3].forward: `fullnat` is a forwarding method that this director does not support yet: use dr, nat or tun",
        "lb.yaml:14:37: services[1].servers[4].weight: 65536 is out of range: give a weight from 0 to 65535",
        "lb.yaml:16:19: services[1].servers[6].address: 10.0.0.5:80 is a server of this service already: services[1].servers[5]",
        "lb.yaml:17:19: services[1].servers[7].address: 127.0.0.1 means this director itself",
        "lb.yaml:18:14: services[2].address: tcp/192.0.2.1:80 is a service already: services[1]",
        "lb.yaml:19:11: services[2].name: `a b` cannot name a service",
        "lb.yaml:20:15: services[3].address: 224.0.0.1 is a multicast address",
        "lb.yaml:21:15: services[4].address: 127.0.0.1 is a loopback address",
        "lb.yaml:21:35: services[4].name: `x` is the name of services[3] already",
        "lb.yaml:22:40: services[5].protocol: `sctp` is a protocol that this director does not support yet",
        "lb.yaml:22:57: services[5].scheduler: `sed` is a scheduler that this director does not support yet",
        "lb.yaml:23:12: services[6].mark: this director does not support services by firewall mark yet",
        "lb.yaml:23:24: services[6].forward: `n` is not a valid forwarding method",
        "lb.yaml:23:47: services[6].servers[0].address: 2001:db8::1 is an IPv6 address",
        "lb.yaml:23:69: services[6].servers[0].lower: the lower limit 5 is above the upper limit 0",
        "lb.yaml:23:69: services[6].servers[0].lower: this director does not support `lower` yet",
    ];
    let refused = refused(text);
    let mut lines: Vec<_> = refused.lines().collect();
    lines[expected.len() - 2..].sort_unstable();
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
    }
    assert_eq!(lines.len(), expected.len(), "{refused}");
}

#[test]
fn every_unknown_key_is_refused_with_a_suggestion() {
    let text = "\
interface: [eth0]
timeouts: {tpc: 60s}
services:
  - address: 192.0.2.1:80
    schedular: rr
    health_check: {http: {path: /}}
    servers:
      - {address: 10.0.0.1, port: 8080, wieght: 2}
";
    let of_service = usable::<ServiceOptions>(
        &["address", "protocol", "servers"],
        packet_path::UNUSED_SERVICE_OPTIONS,
    );
    let of_server = usable::<ServerOptions>(&["address"], packet_path::UNUSED_SERVER_OPTIONS);
    assert_eq!(
        refused(text),
        format!(
            "\
lb.yaml:1:1: interface: unknown key (did you mean `interfaces`?): \
use interfaces, connections, timeouts, unreachable or services
lb.yaml:2:12: timeouts.tpc: unknown key (did you mean `tcp`?): use tcp, tcpfin or udp
lb.yaml:5:5: services[0].schedular: unknown key (did you mean `scheduler`?): use {of_service}
lb.yaml:6:5: services[0].health_check: unknown key: the director does not check servers: \
ldirectord can, with ipvsadm's commands, or a script that calls `lb-ctl server drain`
lb.yaml:8:29: services[0].servers[0].port: unknown key: write the port behind the address: `address: IP:PORT`
lb.yaml:8:41: services[0].servers[0].wieght: unknown key (did you mean `weight`?): \
use {of_server}"
        )
    );
}

#[test]
fn every_key_that_is_written_twice_is_refused() {
    let text = "\
services:
  - address: 192.0.2.1:80
    persistence: {timeout: 1s, timeout: 2s}
    servers:
      - {weight: 1, weight: x, address: 10.0.0.1}
    address: 192.0.2.1:80
services: []
";
    let twice = "this key is written twice: leave one of them out";
    assert_eq!(
        refused(text),
        format!(
            "\
lb.yaml:3:32: services[0].persistence.timeout: {twice}
lb.yaml:5:21: services[0].servers[0].weight: {twice}
lb.yaml:6:5: services[0].address: {twice}
lb.yaml:7:1: services: {twice}"
        )
    );
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
    assert!(refused.ends_with("lb.yaml: not shown: 900 more faults"));
}

#[test]
fn aliases_of_aliases_do_not_grow() {
    let mut text = "services:\n  - address: 192.0.2.1:80\n    persistence:\n".to_owned();
    text += "      a: &a [x]\n";
    for (this, last) in ('b'..='z').zip('a'..) {
        text += &format!("      {this}: &{this} [*{last}, *{last}, *{last}, *{last}]\n");
    }
    assert!(refused(&text).starts_with("lb.yaml:"));
    assert!(refused("interfaces: &i [*i]\n").starts_with("lb.yaml:"));
}

#[test]
fn services_can_share_what_an_anchor_names() {
    let text = "\
services:
  - address: 192.0.2.1:80
    servers: &pool [{address: 10.0.0.1}, {address: 192.0.2.2}]
  - {address: 192.0.2.2:80, servers: *pool}
";
    assert!(
        refused(text).starts_with("lb.yaml:4:38: services[1].servers[1].address: 192.0.2.2 is")
    );
    let desired = desired(&text.replace("192.0.2.2}", "10.0.0.2}"));
    let servers = desired.services.iter().map(|service| service.servers.len());
    assert_eq!(servers.collect::<Vec<_>>(), [2, 2]);
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
fn misshapen_files_say_where_and_what_was_expected() {
    for (text, expected) in [
        (
            "services:\n  - name: web\n",
            "lb.yaml:2:5: services[0]: `address` is missing",
        ),
        (
            "services: web\n",
            "lb.yaml:1:11: services: this is the text \"web\", expected a list",
        ),
        (
            "interfaces: 5\n",
            "lb.yaml:1:13: interfaces: this is the value `5`, expected a list",
        ),
        (
            "services:\n  - 192.0.2.1:80\n",
            "lb.yaml:2:5: services[0]: this is the text \"192.0.2.1:80\", expected a mapping like",
        ),
        (
            "services:\n  -\n",
            "lb.yaml:2:4: services[0]: this is nothing, expected a mapping like",
        ),
        (
            "services:\n  - address: [2001:db8::1]\n",
            "lb.yaml:2:14: services[0].address: this is a list, expected a single value (in quotes",
        ),
        (
            "services:\n  - {address: 192.0.2.1:80, mark: 1}\n",
            "lb.yaml:2:29: services[0].mark: a service has an address or a mark, not both",
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
            "connections: !x 5\n",
            "lb.yaml:1:14: connections: this has a tag",
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
            "lb.yaml:1:1: a\\nb\\u{1b}[31m: unknown key",
        ),
        ("? [a]\n: 1\n", "lb.yaml:1:3: ?: unknown key"),
        (
            "services: []\n---\nservices: []\n",
            "lb.yaml:2:1: a file can have only one document, and a line `---` starts another one here",
        ),
        (
            "services: [{address: '192.0.2.1:80', name: 1.10}]\n",
            "lb.yaml:1:44: services[0].name: a number or truth value cannot be a text: put it in quotes",
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
    for text in ["", "\n", "# nothing yet\n", "---\n", "\u{feff}"] {
        assert!(
            refused(text).starts_with("lb.yaml: the file is empty"),
            "{text:?}"
        );
    }
    assert!(refused("~").starts_with("lb.yaml:1:1: this is nothing, expected keys"));
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_text() {
    let text = "\u{feff}services: [{address: 192.0.2.1:80}]\n";
    assert_eq!(desired(text).services.len(), 1);
    assert!(refused("\u{feff}service: []\n").starts_with("lb.yaml:1:1: service: "));
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
    let binary = load(&binary).unwrap_err().to_string();
    assert!(binary.contains("line 2 is not UTF-8: save"), "{binary}");
    let huge = load(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(huge.contains("larger than 63.9 MiB"), "{huge}");
}

#[test]
fn what_windows_editors_write_is_taken_or_named() {
    let text = "services:\r\n  - address: 192.0.2.1:80\r\n";
    assert_eq!(desired(text).services.len(), 1);
    assert_eq!(desired(&format!("\u{feff}{text}")).services.len(), 1);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lb.yaml");
    let said = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        load(&file).unwrap_err().to_string()
    };
    let marked = format!("\u{feff}{text}");
    for text in [text, &marked] {
        let units = || text.encode_utf16();
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        for bytes in [little, big] {
            let said = said(&bytes);
            assert!(said.contains("it is UTF-16: save it as UTF-8"), "{said}");
        }
    }
    assert!(
        said(b"services: []\n# \0\n")
            .ends_with("lb.yaml:2:3: this is a NUL byte, which no text has: the file is damaged")
    );
    assert!(said("services: []\n\u{feff}interfaces: []\n".as_bytes()).ends_with(
        "lb.yaml:2:1: a byte order mark (U+FEFF) can only be at the beginning of a file: remove it"
    ));
}

/// A hundred thousand services, as `ipvsadm -R` makes them.
fn many(services: u32, servers: u32) -> Desired {
    let address = |number: u32| std::net::Ipv4Addr::from(0x0a00_0001 + number);
    let service = |number: u32| {
        let mut service = Service::new(format!("tcp/{}:80", address(number)).parse().unwrap());
        let server = |server: u32| Server {
            id: format!("172.16.{}.{}:80", server / 200, 1 + server % 200)
                .parse()
                .unwrap(),
            options: ServerOptions {
                weight: 65_535,
                forward: Some(Method::Nat),
                ..ServerOptions::default()
            },
        };
        service.servers = (0..servers).map(server).collect();
        service
    };
    Desired {
        services: (0..services).map(service).collect(),
        ..Desired::default()
    }
}

#[test]
fn a_file_with_a_hundred_thousand_services_is_read_back() {
    let desired = many(100_000, 1);
    let mut saved = Vec::new();
    write(&desired, &mut saved).unwrap();
    let text = String::from_utf8(saved).unwrap();
    assert!(text.len() > 7 << 20, "{}", text.len());
    let read = parse(&text, "lb.yaml").unwrap().alone();
    assert!(read == desired);
}

#[test]
fn a_file_with_all_servers_that_an_instance_can_have_is_not_too_long() {
    let mut saved = Vec::new();
    write(&many(512, 1024), &mut saved).unwrap();
    let text = String::from_utf8(saved).unwrap();
    assert_eq!(source::check_size(&text, "lb.yaml"), Ok(()));
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
    write(&desired(text), &mut saved).unwrap();
    assert_eq!(String::from_utf8(saved).unwrap(), text);
}

#[test]
fn what_the_packet_path_cannot_do_yet_is_written_so_that_it_is_refused_by_name() {
    let mut service = Service::new("mark6/5".parse().unwrap());
    service.options.persistence = Some(lb_model::Persistence {
        timeout: lb_model::Seconds(60),
        netmask: "255.255.0.0".parse().unwrap(),
    });
    let desired = Desired {
        services: [
            service,
            Service::new("sctp/[2001:db8::1]:80".parse().unwrap()),
        ]
        .into_iter()
        .collect(),
        ..Desired::default()
    };
    let mut saved = Vec::new();
    write(&desired, &mut saved).unwrap();
    let saved = String::from_utf8(saved).unwrap();
    assert_eq!(
        saved,
        "\
services:
  - mark: 5
    family: ipv6
    persistence: {netmask: 255.255.0.0, timeout: 60s}
  - address: \"[2001:db8::1]:80\"
    protocol: sctp
"
    );
    assert_eq!(refused(&saved).lines().count(), 3, "{}", refused(&saved));
}

proptest! {
    #[test]
    fn what_is_saved_reads_back_the_same(desired in strategies::desired()) {
        let mut saved = Vec::new();
        write(&desired, &mut saved).unwrap();
        let text = String::from_utf8(saved).unwrap();
        let read = parse(&text, "lb.yaml").map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(read.alone(), desired);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z0-9:{}\\[\\],\\-\\n *&!~'\"#.]{0,60}") {
        let _ = parse(&text, "lb.yaml");
    }
}
