//! Interfaces: which ones the director needs, whatever they are called, and what they carry.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::ensure;
use etherparse::PacketBuilder;

use lb_common::layout::interface::INTERFACES;
use lb_lab::{lab::Lab, namespace::Namespace, wait::wait_until};
use lb_tests::{
    director::{Director, Mode},
    labs::l1_nat_weighted::{SERVICE, topology},
    tables::Stats,
};
use nix::{
    net::if_::if_nametoindex,
    sys::{
        signal::Signal,
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
        },
    },
};
use std::os::fd::AsRawFd as _;

/// NAT, with only the interface that clients are behind.
const ONE_INTERFACE: &str = "
interfaces: [eth0]
services:
  - address: 172.16.10.21:80
    name: web
    scheduler: rr
    forward: nat
    servers:
      - {address: 192.168.100.39}
      - {address: 192.168.100.23}
";

/// Waits until a line of the log has these words.
#[track_caller]
fn assert_logged(director: &Director, words: &str) {
    wait_until(words, || {
        let log = director.log()?;
        ensure!(log.contains(words), "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn nat_attaches_to_the_interface_that_servers_are_behind() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(4).unwrap();
    let shown = director.stats().unwrap().interfaces;
    assert_eq!(shown.len(), 2, "{shown:?}");
    let because = shown[1].because.as_deref().unwrap_or_default();
    assert!(because.contains("NAT servers"), "{shown:?}");
    assert!(shown[0].because.is_none(), "{shown:?}");

    // A daemon that starts anew does not let go of it meanwhile.
    let mut director = director;
    let mut connection = client.connect().unwrap();
    director.end(Signal::SIGKILL).unwrap();
    director.run("lb.yaml").unwrap();
    assert_eq!(director.attached("eth1").unwrap(), Some(Mode::Native));
    connection.get("/").unwrap();
}

#[test]
fn an_interface_that_is_not_needed_any_more_is_let_go_of() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    assert!(director.attached("eth1").unwrap().is_some());
    // There are no connections, so nobody can miss it.
    director.command(&["service", "del", "web"]).unwrap();
    wait_until("eth1 is let go of", || {
        ensure!(director.attached("eth1")?.is_none());
        Ok(())
    })
    .unwrap();
    // And needed again as soon as there is a server behind it, before the command ends.
    for command in [
        "service add tcp/172.16.10.21:80 --name web",
        "server add web 192.168.100.39 --forward nat",
    ] {
        let words: Vec<_> = command.split(' ').collect();
        director.command(&words).unwrap();
    }
    assert!(director.attached("eth1").unwrap().is_some());
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(2).unwrap();
}

/// Asserts that an interface that nobody named stays attached while the need for it is over, and
/// that a connection outlives that. `is_over` tells when the daemon has noticed.
#[track_caller]
fn assert_stays(
    interface: &str,
    configuration: &str,
    end: impl Fn(&Director, &Namespace),
    is_over: impl Fn(&Stats) -> bool,
    come_back: impl Fn(&Director, &Namespace),
) {
    let lab = Lab::realise(&topology()).unwrap();
    let machine = lab.host("director").unwrap();
    let director = Director::start(&lab, configuration).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connections: Vec<_> = (0..4).map(|_| client.connect().unwrap()).collect();
    let mut get = || {
        for connection in &mut connections {
            connection.get("/").unwrap();
        }
    };
    get();
    end(&director, machine);
    wait_until("the daemon notices", || {
        let stats = director.stats()?;
        ensure!(is_over(&stats), "{stats:?}");
        Ok(())
    })
    .unwrap();
    // The daemon would let go of it with its next tick, within a second. That nothing happens is no
    // condition to wait for: so it is looked at for longer than that.
    for _ in 0..15 {
        assert!(director.attached(interface).unwrap().is_some());
        std::thread::sleep(Duration::from_millis(100));
    }
    come_back(&director, machine);
    get();
    client.servers(2).unwrap();
}

#[test]
fn an_interface_stays_attached_while_the_way_to_its_servers_is_gone() {
    let unknown = |stats: &Stats| {
        let mut servers = stats.services[0].servers.iter();
        servers.all(|server| server.state == "next hop unknown")
    };
    let ip = |command: &'static str| {
        move |_: &Director, machine: &Namespace| machine.ip([command]).unwrap()
    };
    let address = "192.168.100.17/24 dev eth1";
    let (del, add) = (
        format!("address del {address}"),
        format!("address add {address}"),
    );
    assert_stays(
        "eth1",
        ONE_INTERFACE,
        |_, machine| machine.ip([&del]).unwrap(),
        unknown,
        |_, machine| machine.ip([&add]).unwrap(),
    );
    assert_stays(
        "eth1",
        ONE_INTERFACE,
        ip("link set eth1 down"),
        unknown,
        ip("link set eth1 up"),
    );
}

#[test]
fn an_interface_stays_attached_while_its_servers_are_replaced() {
    let servers = ["192.168.100.39", "192.168.100.23"];
    let edit = |verb: &'static str| {
        move |director: &Director, _: &Namespace| {
            for server in servers {
                director.command(&["server", verb, "web", server]).unwrap();
            }
        }
    };
    let none = |stats: &Stats| stats.services[0].servers.is_empty();
    assert_stays("eth1", ONE_INTERFACE, edit("del"), none, edit("add"));
}

#[test]
fn an_interface_stays_attached_while_the_vip_is_gone() {
    let configuration = ONE_INTERFACE.replace("eth0", "eth1");
    let address = |what: &'static str| {
        let command = format!("address {what} 172.16.10.21/24 dev eth0");
        move |_: &Director, machine: &Namespace| machine.ip([&command]).unwrap()
    };
    let nowhere = |stats: &Stats| {
        let mut troubles = stats.troubles.iter();
        troubles.any(|it| it.contains("has the VIP 172.16.10.21"))
    };
    assert_stays(
        "eth0",
        &configuration,
        address("del"),
        nowhere,
        address("add"),
    );
}

#[test]
fn an_interface_by_which_no_packets_arrive_is_told() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let [machine, switch] = [lab.host("director").unwrap(), lab.switch()];
    for (host, end, told, again) in [
        (
            machine,
            "link set eth0 down",
            "eth0, which is down",
            "link set eth0 up",
        ),
        (
            switch,
            "link set director-0 down",
            "eth0, which has no carrier",
            "link set director-0 up",
        ),
    ] {
        host.ip([end]).unwrap();
        assert_logged(&director, &format!("no packets arrive by {told}"));
        host.ip([again]).unwrap();
        assert_logged(&director, &format!("over: no packets arrive by {told}"));
    }
    lab.client("client", SERVICE).unwrap().servers(2).unwrap();
}

#[test]
fn all_members_of_the_bridge_that_has_the_vip_are_served() {
    let lab = Lab::realise(&topology()).unwrap();
    bridge(&lab, "eth0", "172.16.10.21/24");
    let machine = lab.host("director").unwrap();
    // Another client, behind another member.
    let other = Namespace::create(&format!("{}-other", lab.prefix())).unwrap();
    let peer = other.name();
    machine
        .ip([
            format!("link add member type veth peer name eth0 netns {peer}"),
            "link set member master br0 up".to_owned(),
        ])
        .unwrap();
    other
        .ip(["link set eth0 up", "address add 172.16.10.77/24 dev eth0"])
        .unwrap();
    for offload in [(&**machine, "member"), (&other, "eth0")] {
        lb_lab::offload::disable(offload.0, offload.1).unwrap();
    }
    let director = Director::start_in(Mode::Generic, &lab, ONE_INTERFACE).unwrap();
    assert!(director.attached("br0").unwrap().is_some());
    let service = SERVICE.parse().unwrap();
    let client = lb_lab::client::Client::new(other.into(), service);
    client.servers(2).unwrap();
    lab.client("client", SERVICE).unwrap().servers(2).unwrap();
}

#[test]
fn a_named_interface_that_is_missing_at_a_restart_is_waited_for() {
    let topology = topology();
    let mut lab = Lab::realise(&topology).unwrap();
    let both = ONE_INTERFACE.replace("[eth0]", "[eth0, eth1]");
    let mut director = Director::start(&lab, &both).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    director.end(Signal::SIGKILL).unwrap();
    let host = topology.hosts.iter().find(|host| host.name == "director");
    let host = host.unwrap();
    lab.unplug(host, 1).unwrap();
    director.run("lb.yaml").unwrap();
    assert_logged(&director, "interface eth1 does not exist");
    lab.plug(host, 1).unwrap();
    wait_until("it is attached", || {
        ensure!(director.attached("eth1")?.is_some());
        client.servers(2)?;
        Ok(())
    })
    .unwrap();
    // One that nobody knows is refused.
    director.end(Signal::SIGTERM).unwrap();
    director
        .write("lb.yaml", &both.replace("eth1", "eth7"))
        .unwrap();
    let path = director.path("lb.yaml").display().to_string();
    let refused = director.try_command(&["run", "--config", &path]).unwrap();
    assert!(
        refused.stderr.contains("interface eth7 does not exist"),
        "{refused:?}"
    );
}

#[test]
fn nat_attaches_to_the_interface_of_a_server_that_does_not_answer_yet() {
    let lab = Lab::realise(&topology()).unwrap();
    let silent = ONE_INTERFACE.replace("192.168.100.39", "192.168.100.40");
    let director = Director::start(&lab, &silent.replace("192.168.100.23", "192.168.100.41"));
    let director = director.unwrap();
    assert_eq!(director.attached("eth1").unwrap(), Some(Mode::Native));
}

#[test]
fn native_mode_attaches_to_the_interfaces_that_it_sends_by() {
    let lab = Lab::realise(&topology()).unwrap();
    let direct = ONE_INTERFACE.replace("forward: nat", "forward: dr");
    let director = Director::start(&lab, &direct).unwrap();
    assert_eq!(director.attached("eth1").unwrap(), Some(Mode::Native));
    assert_logged(&director, "server 192.168.100.39:80 is reached through it");
    drop(director);
    // In generic mode, any interface sends.
    let director = Director::start_in(Mode::Generic, &lab, &direct).unwrap();
    assert_eq!(director.attached("eth1").unwrap(), None);
}

#[test]
fn an_interface_that_is_missing_is_told_until_nobody_wants_it() {
    let lab = Lab::realise(&topology()).unwrap();
    let both = ONE_INTERFACE.replace("[eth0]", "[eth0, extra]");
    let machine = lab.host("director").unwrap();
    machine
        .ip(["link add extra type veth peer name extra-peer"])
        .unwrap();
    let director = Director::start_in(Mode::Generic, &lab, &both).unwrap();
    machine.ip(["link del extra"]).unwrap();
    let troubles = |count: usize| {
        wait_until("stats tells it", || {
            let troubles = director.stats()?.troubles;
            ensure!(troubles.len() == count, "{troubles:?}");
            Ok(troubles)
        })
        .unwrap()
    };
    assert_eq!(troubles(1), ["interface extra does not exist"]);
    let file = director.write("one.yaml", ONE_INTERFACE).unwrap();
    let file = file.display().to_string();
    director.command(&["apply", &file]).unwrap();
    troubles(0);
    assert_logged(&director, "over: interface extra does not exist");
}

#[test]
fn a_vip_has_its_interface_attached() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start_in(Mode::Generic, &lab, ONE_INTERFACE).unwrap();
    director.command(&["service", "del", "web"]).unwrap();
    wait_until("eth1 is let go of", || {
        ensure!(director.attached("eth1")?.is_none());
        Ok(())
    })
    .unwrap();
    let add = ["service", "add", "tcp/192.168.100.17:80"];
    director.command(&add).unwrap();
    wait_until("it is attached to", || {
        ensure!(director.attached("eth1")?.is_some());
        Ok(())
    })
    .unwrap();
    assert_logged(&director, "it has the VIP 192.168.100.17");
}

#[test]
fn a_vip_that_no_interface_has_is_told_until_one_has_it() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    assert_eq!(director.stats().unwrap().troubles, [""; 0]);
    let add = ["service", "add", "tcp/10.99.0.1:80"];
    director.command(&add).unwrap();
    let trouble = "no interface of this machine has the VIP 10.99.0.1";
    wait_until("stats shows it", || {
        let troubles = director.stats()?.troubles;
        ensure!(
            troubles.iter().any(|it| it.contains(trouble)),
            "{troubles:?}"
        );
        Ok(())
    })
    .unwrap();
    assert_logged(&director, trouble);
    let machine = lab.host("director").unwrap();
    machine.ip(["address add 10.99.0.1/32 dev lo"]).unwrap();
    wait_until("it is over", || {
        let troubles = director.stats()?.troubles;
        ensure!(troubles.is_empty(), "{troubles:?}");
        Ok(())
    })
    .unwrap();
    assert_logged(&director, &format!("over: {trouble}"));
}

#[test]
fn an_interface_is_followed_under_another_name() {
    let lab = Lab::realise(&topology()).unwrap();
    let mut director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    let program = director.program("eth0").unwrap();
    let machine = lab.host("director").unwrap();
    machine.ip(["link set eth0 name wan0"]).unwrap();
    assert_logged(&director, "eth0 is called wan0 now");
    connection.get("/").unwrap();
    assert_eq!(director.program("wan0").unwrap(), program);
    assert_eq!(director.stats().unwrap().interfaces[0].name, "wan0");

    // The file still has the old name: it means the same interface.
    let file = director.path("lb.yaml").display().to_string();
    director.command(&["apply", &file]).unwrap();
    connection.get("/").unwrap();
    director.end(Signal::SIGKILL).unwrap();
    director.run("lb.yaml").unwrap();
    assert_logged(&director, "interface eth0 does not exist");
    connection.get("/").unwrap();
    client.servers(2).unwrap();

    // Another interface takes the name.
    machine.ip(["link set eth1 name eth0"]).unwrap();
    assert_logged(&director, "eth1 is called eth0 now");
    connection.get("/").unwrap();
    client.servers(2).unwrap();
    assert!(!director.log().unwrap().contains("went away"));
}

#[test]
fn an_interface_whose_index_has_the_same_lower_bits_hides_no_other() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    connection.get("/").unwrap();
    let machine = lab.host("director").unwrap();
    for name in ["eth0", "eth1"] {
        let index = machine.inside(|| Ok(if_nametoindex(name)?)).unwrap();
        let far = index + INTERFACES;
        machine
            .ip([format!(
                "link add far{index} index {far} type veth peer name peer{index}"
            )])
            .unwrap();
    }
    wait_until("the daemon has heard of them", || {
        connection.get("/")?;
        client.servers(1)?;
        ensure!(director.log()?.matches("attached").count() >= 2);
        Ok(())
    })
    .unwrap();
    client.servers(4).unwrap();
    connection.get("/").unwrap();
    for name in ["far", "peer"] {
        let index = machine.inside(|| Ok(if_nametoindex("eth0")?)).unwrap();
        let _ = machine.ip([format!("link del {name}{index}")]);
    }
    connection.get("/").unwrap();
    client.servers(4).unwrap();
}

#[test]
fn frames_to_a_macvlan_above_the_interface_are_served() {
    let lab = Lab::realise(&topology()).unwrap();
    let machine = lab.host("director").unwrap();
    // As VRRP with a virtual MAC address has it: the VIP is on the macvlan, and only that answers
    // ARP for it.
    machine
        .sysctls(&[("ipv4/conf/all/arp_ignore", "1")])
        .unwrap();
    machine
        .ip([
            "link add link eth0 name vrrp address 00:00:5e:00:01:33 type macvlan mode bridge",
            "link set vrrp up",
            "address add 172.16.10.99/32 dev vrrp",
        ])
        .unwrap();
    let configuration = ONE_INTERFACE.replace("172.16.10.21", "172.16.10.99");
    let director = Director::start(&lab, &configuration).unwrap();
    let client = lab.client("client", "172.16.10.99:80").unwrap();
    client.servers(4).unwrap();
    let stats = director.stats().unwrap();
    assert_eq!(stats.services[0].counters.connections, 4);
    assert_eq!(stats.troubles, [""; 0]);
    // It needs no program of its own.
    assert_eq!(director.attached("vrrp").unwrap(), None);
}

#[test]
fn native_mode_attaches_to_the_interface_that_replies_leave_by() {
    let lab = Lab::realise(&topology()).unwrap();
    let machine = lab.host("director").unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    // Another way to the client; the station at its other end does not matter.
    machine
        .ip([
            "link add eth2 type veth peer name far",
            "link set far up",
            "link set eth2 up",
            "neighbour add 172.16.10.22 lladdr 02:00:00:00:00:22 dev eth2 nud permanent",
            "route add 172.16.10.22/32 dev eth2",
        ])
        .unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut hanging = Vec::new();
    wait_until("it is attached", || {
        hanging.push(client.begin_to_connect()?);
        ensure!(director.attached("eth2")? == Some(Mode::Native));
        Ok(())
    })
    .unwrap();
    assert_logged(&director, "replies to clients leave by it");
}

/// Puts an interface of the director into a bridge, which gets its address.
fn bridge(lab: &Lab, interface: &str, address: &str) {
    let machine = lab.host("director").unwrap();
    machine
        .ip([
            "link add br0 address 02:00:00:00:33:01 type bridge forward_delay 0".to_owned(),
            "link set br0 up".to_owned(),
            format!("address del {address} dev {interface}"),
            format!("link set {interface} master br0"),
            format!("address add {address} dev br0"),
        ])
        .unwrap();
}

#[test]
fn frames_to_a_bridge_above_the_interface_are_served() {
    let lab = Lab::realise(&topology()).unwrap();
    bridge(&lab, "eth0", "172.16.10.21/24");
    let director = Director::start_in(Mode::Generic, &lab, ONE_INTERFACE).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    client.servers(4).unwrap();
    let stats = director.stats().unwrap();
    assert_eq!(stats.services[0].counters.connections, 4);
    assert_eq!(stats.troubles, [""; 0]);
    assert_eq!(director.attached("br0").unwrap(), None);
}

#[test]
fn a_bridge_that_native_mode_cannot_send_by_is_told() {
    // Clients behind it: known when the first packet is lost.
    let lab = Lab::realise(&topology()).unwrap();
    bridge(&lab, "eth0", "172.16.10.21/24");
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let _hanging = client.begin_to_connect().unwrap();
    assert_logged(&director, "packets that leave by br0 are lost there");
    assert_logged(&director, "br0 is a bridge, which cannot send");
    drop(director);

    // Servers behind it: known before.
    let lab = Lab::realise(&topology()).unwrap();
    bridge(&lab, "eth1", "192.168.100.17/24");
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    assert_logged(&director, "br0 is a bridge, which cannot send");
    let troubles = director.stats().unwrap().troubles;
    assert!(troubles.iter().any(|it| it.contains("br0")), "{troubles:?}");
}

#[test]
fn replies_too_large_for_the_clients_link_arrive_in_smaller_packets() {
    let lab = Lab::realise(&topology()).unwrap();
    let machine = lab.host("director").unwrap();
    machine.ip(["link set eth0 mtu 1400"]).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    const BYTES: u64 = 200_000;
    let download = client.connect().unwrap().download(BYTES).unwrap();
    assert_eq!(download.finish().unwrap(), BYTES);
    assert!(director.stats().unwrap().count("too_big") > 0);
}

#[test]
fn generic_mode_warns_of_an_interface_that_merges_packets() {
    let lab = Lab::realise(&topology()).unwrap();
    let switch_off = |how: &str| {
        let arguments = ["-K", "eth0", "gro", how];
        let machine = lab.host("director").unwrap();
        let status = machine.command("ethtool").args(arguments).status();
        assert!(status.unwrap().success());
    };
    switch_off("on");
    let director = Director::start_in(Mode::Generic, &lab, ONE_INTERFACE).unwrap();
    assert_logged(&director, "`ethtool -K eth0 gro off`");
    drop(director);
    switch_off("off");
    let director = Director::start_in(Mode::Generic, &lab, ONE_INTERFACE).unwrap();
    let log = director.log().unwrap();
    assert!(!log.contains("ethtool -K eth0"), "{log}");
}

#[test]
fn a_packet_from_the_directors_own_address_opens_no_connection() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, ONE_INTERFACE).unwrap();
    let vip = Ipv4Addr::new(172, 16, 10, 21);
    // Each from another port: a connection that was opened once is not judged again.
    let mut ports = 4000..;
    let mut forge = |source| syn_from(&lab, source, ports.next().unwrap(), vip);
    // Its own on either side, its networks' broadcast addresses, and the VIP.
    for source in [
        [172, 16, 10, 21],
        [192, 168, 100, 17],
        [172, 16, 10, 255],
        [192, 168, 100, 255],
    ] {
        let before = director.stats().unwrap().count("forged_source");
        wait_until("it is counted", || {
            forge(source.into());
            let stats = director.stats()?;
            ensure!(stats.count("forged_source") > before, "{:?}", stats.passes);
            Ok(())
        })
        .unwrap();
    }
    let sent = director.stats().unwrap().count("forged_source");
    assert_eq!(director.stats().unwrap().connections.used, 0);
    // An address that it gets later is its own as well, until it loses it.
    let machine = lab.host("director").unwrap();
    let other = Ipv4Addr::new(172, 16, 10, 77);
    let address = |what| format!("address {what} {other}/32 dev eth0");
    machine.ip([address("add")]).unwrap();
    wait_until("it is counted", || {
        forge(other);
        ensure!(director.stats()?.count("forged_source") > sent);
        Ok(())
    })
    .unwrap();
    let before = director.stats().unwrap().connections.used;
    machine.ip([address("del")]).unwrap();
    wait_until("it is a client's", || {
        forge(other);
        ensure!(director.stats()?.connections.used > before);
        Ok(())
    })
    .unwrap();
}

/// Sends a SYN from the client's machine that says that it comes from another address.
fn syn_from(lab: &Lab, source: Ipv4Addr, port: u16, vip: Ipv4Addr) {
    let syn = PacketBuilder::ipv4(source.octets(), vip.octets(), 64);
    let mut packet = Vec::new();
    let syn = syn.tcp(port, 80, 1, 64_000).syn();
    syn.write(&mut packet, &[]).unwrap();
    let client = lab.host("client").unwrap();
    client
        .inside(|| {
            let raw = SockProtocol::Raw;
            let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), raw)?;
            let to = SockaddrIn::from(std::net::SocketAddrV4::new(vip, 0));
            sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty())?;
            Ok(())
        })
        .unwrap();
}
