//! What keeps packets from being served is said, and is over when it is over.

use std::{net::UdpSocket, time::Duration};

use anyhow::ensure;
use lb_lab::{lab::Lab, topology::Host, wait::wait_until};
use lb_tests::{
    director::{Director, Mode},
    labs::{
        l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
        l3_direct_one_subnet,
    },
};

#[test]
fn a_nat_server_whose_replies_go_another_way_is_told_until_they_come_back() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let server = lab.host("web39").unwrap();
    server.ip(["route del default"]).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    // Clients whose connections hang, as they would for ever.
    let mut hanging: Vec<_> = (0..5).map(|_| client.begin_to_connect().unwrap()).collect();
    let state = |director: &Director| {
        let service = director.stats()?.services.remove(0);
        let mut servers = service.servers.into_iter();
        let server = servers.find(|server| server.server == "192.168.100.39:80");
        anyhow::Ok(server.map(|server| server.state).unwrap_or_default())
    };
    wait_until("stats shows it", || {
        hanging.push(client.begin_to_connect()?);
        let state = state(&director)?;
        ensure!(state == "no replies", "{state}");
        Ok(())
    })
    .unwrap();
    let troubles = director.stats().unwrap().troubles;
    let [trouble] = &troubles[..] else {
        panic!("{troubles:?}");
    };
    assert!(trouble.contains("server 192.168.100.39:80"), "{trouble}");
    let log = director.log_with(trouble).unwrap();
    assert_eq!(log.matches(trouble).count(), 1, "{log}");

    server.ip(["route add default via 192.168.100.17"]).unwrap();
    wait_until("it is over", || {
        client.servers(5)?;
        let state = state(&director)?;
        ensure!(state == "up", "{state}");
        Ok(())
    })
    .unwrap();
    wait_until("the log says so", || {
        let log = director.log()?;
        ensure!(log.contains(&format!("over: {trouble}")), "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn rules_that_packets_do_not_meet_are_named_at_start() {
    let lab = Lab::realise(&topology()).unwrap();
    let machine = lab.host("director").unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    assert!(!director.log().unwrap().contains("netfilter"));
    let rules = "add table inet guard
        add chain inet guard incoming { type filter hook input priority 0; policy accept; }
        add rule inet guard incoming tcp dport 80 drop
        add chain inet guard outgoing { type filter hook output priority 0; policy drop; }
        add chain inet guard empty { type filter hook input priority 1; policy accept; }";
    for rule in rules.lines() {
        let status = machine.command("nft").arg(rule.trim()).status();
        assert!(status.unwrap().success(), "{rule}");
    }
    director.end(nix::sys::signal::Signal::SIGTERM).unwrap();
    director.run("lb.yaml").unwrap();
    let told = "rules of netfilter (guard incoming)";
    director.log_with(told).unwrap();
    lab.client("client", SERVICE).unwrap().servers(2).unwrap();
}

/// Waits until packets are counted as lost at this interface of the director, and told.
#[track_caller]
fn assert_not_sent(director: &Director, interface: &str, mut more: impl FnMut()) {
    let words = format!("packets that leave by {interface} are lost there");
    wait_until(&words, || {
        more();
        let stats = director.stats()?;
        let lost = stats.drops.iter().find(|it| it.reason == "not_sent");
        let lost = lost.map_or(0, |lost| lost.packets);
        ensure!(lost > 0, "{:?}", stats.drops);
        let told = stats.troubles.iter().any(|it| it.contains(&words));
        ensure!(told, "{:?}", stats.troubles);
        Ok(())
    })
    .unwrap();
    director.log_with(&words).unwrap();
}

#[test]
fn packets_that_are_redirected_to_an_interface_that_is_down_are_counted() {
    for mode in [Mode::Native, Mode::Generic] {
        let lab = Lab::realise(&topology()).unwrap();
        let director = Director::start_in(mode, &lab, CONFIGURATION).unwrap();
        let client = lab.client("client", SERVICE).unwrap();
        let mut download = client.connect().unwrap().download(50_000_000).unwrap();
        download.read(100_000).unwrap();
        // The server sends again what nobody acknowledges.
        let machine = lab.host("director").unwrap();
        machine.ip(["link set eth0 down"]).unwrap();
        assert_not_sent(&director, "eth0", || ());
    }
}

#[test]
fn packets_that_a_driver_does_not_send_are_counted() {
    for (topology, configuration, service, interface) in [
        // Redirected to the servers, and sent back out by the interface that they came by.
        (topology(), CONFIGURATION, SERVICE, "eth1"),
        (
            l3_direct_one_subnet::topology(),
            l3_direct_one_subnet::CONFIGURATION,
            l3_direct_one_subnet::SERVICE,
            "eth0",
        ),
    ] {
        let mut lab = Lab::realise(&topology).unwrap();
        let director = Director::start(&lab, configuration).unwrap();
        let client = lab.client("client", service).unwrap();
        client.servers(2).unwrap();
        let before = director.stats().unwrap();
        assert!(before.drops.iter().all(|it| it.packets == 0), "{before:?}");
        lab.refuse_frames_of_xdp();
        let mut hanging = Vec::new();
        assert_not_sent(&director, interface, || {
            hanging.push(client.begin_to_connect().unwrap());
        });
    }
}

#[test]
fn losses_of_others_are_not_counted() {
    // The same interfaces with the same numbers, in other network namespaces.
    let quiet = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    let mut losing = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    let start = |lab: &Lab| Director::start(lab, l3_direct_one_subnet::CONFIGURATION).unwrap();
    let (served, unserved) = (start(&quiet), start(&losing));
    let service = l3_direct_one_subnet::SERVICE;
    losing.refuse_frames_of_xdp();
    let client = losing.client("client", service).unwrap();
    let mut hanging = Vec::new();
    assert_not_sent(&unserved, "eth0", || {
        hanging.push(client.begin_to_connect().unwrap());
    });
    quiet.client("client", service).unwrap().servers(2).unwrap();
    let drops = served.stats().unwrap().drops;
    assert!(drops.iter().all(|it| it.packets == 0), "{drops:?}");
}

/// Waits until one more connection is not opened, and stats and the log tell of this trouble.
#[track_caller]
fn assert_told(director: &Director, words: &str, mut more: impl FnMut()) {
    wait_until(words, || {
        more();
        let troubles = director.stats()?.troubles;
        ensure!(troubles.iter().any(|it| it.contains(words)), "{troubles:?}");
        Ok(())
    })
    .unwrap();
    director.log_with(words).unwrap();
}

#[test]
fn reasons_that_keep_clients_out_are_troubles_until_they_are_over() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let service = format!("tcp/{SERVICE}");
    let servers = ["192.168.100.39:80", "192.168.100.23:80"];
    for server in servers {
        let drain = ["server", "drain", &service, server];
        director.command(&drain).unwrap();
    }
    assert_told(&director, "[no_server]", || {
        assert!(client.connect_within(Duration::from_secs(1)).is_err());
    });
    let add = ["server", "add", &service, "192.168.100.99"];
    director.command(&add).unwrap();
    let mut hanging = Vec::new();
    assert_told(&director, "[next_hop_unknown]", || {
        hanging.push(client.begin_to_connect().unwrap());
        // What is dropped here is no reply that does not come back.
        let stats = director.stats().unwrap();
        let server = stats.services[0].server("192.168.100.99:80").unwrap();
        assert_eq!(server.state, "next hop unknown");
    });
    drop(hanging);
    let remove = ["server", "del", &service, "192.168.100.99"];
    director.command(&remove).unwrap();
    director
        .command(&["server", "set", &service, servers[0], "--weight", "1"])
        .unwrap();
    wait_until("all is over", || {
        let troubles = director.stats()?.troubles;
        ensure!(troubles.is_empty(), "{troubles:?}");
        Ok(())
    })
    .unwrap();
    let mut log = String::new();
    wait_until("the log says so", || {
        log = director.log()?;
        let over: Vec<_> = log.lines().filter(|line| line.contains("over: ")).collect();
        for reason in ["[no_server]", "[next_hop_unknown]"] {
            ensure!(over.iter().any(|it| it.contains(reason)), "{log}");
        }
        Ok(())
    })
    .unwrap();
    assert!(!log.contains("none of its replies come back"), "{log}");
}

#[test]
fn a_udp_server_by_nat_that_does_not_answer_any_more_is_told() {
    let mut topology = topology();
    topology.hosts.retain(|host| host.name != "web39");
    let echo = Host::new("echo").on("inside", "192.168.100.39/24");
    let echo = echo.gateway("192.168.100.17").udp("0.0.0.0:80");
    topology.hosts.push(echo);
    let lab = Lab::realise(&topology).unwrap();
    let configuration = "
interfaces: [eth0, eth1]
services:
  - address: 172.16.10.21:80
    protocol: udp
    forward: nat
    servers: [{address: 192.168.100.39}]
  - address: 172.16.10.21:514
    protocol: udp
    forward: nat
    servers: [{address: 192.168.100.23}]
";
    let director = Director::start(&lab, configuration).unwrap();
    let machine = lab.host("client").unwrap();
    let socket = || Ok(UdpSocket::bind("0.0.0.0:0")?);
    let socket = machine.inside(socket).unwrap();
    lab.client("client", SERVICE)
        .unwrap()
        .ask(0, "hello")
        .unwrap();
    // Its answers go elsewhere. The other one has never answered: nobody listens there, and it
    // sends no ICMP error.
    let route = ["route del default"];
    lab.host("echo").unwrap().ip(route).unwrap();
    lab.host("web23").unwrap().ip(route).unwrap();
    assert_told(&director, "server 192.168.100.39:80", || {
        for port in [80, 514] {
            socket.send_to(b"hello", ("172.16.10.21", port)).unwrap();
        }
    });
    let troubles = director.stats().unwrap().troubles;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    let services = director.stats().unwrap().services;
    let states = services.iter().map(|service| &service.servers[0].state);
    assert_eq!(states.collect::<Vec<_>>(), ["no replies", "up"]);
    lab.host("echo")
        .unwrap()
        .ip(["route add default via 192.168.100.17"])
        .unwrap();
    wait_until("it is over", || {
        socket.send_to(b"hello", ("172.16.10.21", 80))?;
        let log = director.log()?;
        ensure!(log.contains("over: server 192.168.100.39:80"), "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_nat_server_whose_address_becomes_the_directors_own_is_told_and_skipped_if_wanted() {
    let lab = Lab::realise(&topology()).unwrap();
    let configuration = format!("unreachable: skip\n{CONFIGURATION}");
    let director = Director::start(&lab, &configuration).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let machine = lab.host("director").unwrap();
    machine.ip(["addr add 192.168.100.39/32 dev lo"]).unwrap();
    let words =
        format!("server 192.168.100.39:80 of tcp/{SERVICE}: the address is the director's own now");
    assert_told(&director, &words, || ());
    let servers = client.servers(6).unwrap();
    assert!(servers.iter().all(|name| name == "web23"), "{servers:?}");
    // Whatever else is changed, the reply says so, too.
    let service = format!("tcp/{SERVICE}");
    let set = ["server", "set", &service, "192.168.100.23", "--weight", "4"];
    let output = director.try_command(&set).unwrap();
    let told = format!("{}{}", output.stdout, output.stderr);
    assert!(told.contains(&words), "{output:?}");
    machine.ip(["addr del 192.168.100.39/32 dev lo"]).unwrap();
    wait_until("both serve", || {
        let servers = client.servers(6)?;
        ensure!(servers.iter().any(|name| name == "web39"), "{servers:?}");
        let log = director.log()?;
        ensure!(log.contains(&format!("over: {words}")), "{log}");
        Ok(())
    })
    .unwrap();
    assert_eq!(director.stats().unwrap().troubles, [""; 0]);
}

#[test]
fn what_keeps_a_service_from_being_served_is_told_in_every_answer() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let nowhere = |vip: &str| format!("no interface of this machine has the VIP {vip}");
    let says = |script: &str, all: &[&str]| {
        let output = director.script(script).unwrap();
        assert_eq!(output.code, Some(0), "{script}: {output:?}");
        for words in all {
            let line = output.stdout.lines().find(|line| line.contains(words));
            assert!(line.is_some_and(|it| it.starts_with("! ")), "{output:?}");
        }
        output
    };
    let other = CONFIGURATION
        .replace("172.16.10.21", "172.16.10.99")
        .replace("192.168.100.23", "10.77.0.2");
    director.write("other.yaml", &other).unwrap();
    let missing = other.replace("eth1]", "eth1, eth9]");
    director.write("missing.yaml", &missing).unwrap();
    let vip = nowhere("172.16.10.99");
    let server = "server 10.77.0.2:80 cannot be reached";
    let all = ["interface eth9 does not exist", &vip, server];
    says("lb-ctl check missing.yaml", &all);
    says("lb-ctl apply --dry-run other.yaml", &[&vip]);
    says("lb-ctl apply other.yaml", &[&vip, server]);
    // Also if there is nothing to do.
    says("lb-ctl apply other.yaml", &[&vip, server]);
    let service = "tcp/172.16.10.98:80";
    says(
        &format!("lb-ctl service add {service}"),
        &[&nowhere("172.16.10.98")],
    );
    let add = format!("lb-ctl server add {service} 10.77.0.3");
    says(
        &add,
        &[
            &nowhere("172.16.10.98"),
            "server 10.77.0.3:80 cannot be reached",
        ],
    );
    // A person is told, a script is not.
    let add = "ipvsadm -A -t 172.16.10.97:80 -s rr";
    says(
        &format!("script -qec '{add}' /dev/null"),
        &[&nowhere("172.16.10.97")],
    );
    let output = says(&add.replace("97", "96"), &[]);
    assert_eq!((&*output.stdout, &*output.stderr), ("", ""));
}
