//! Tests of the labs themselves, without a director.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd,
    panic::catch_unwind,
    process::{Command, id},
    time::Duration,
};

use etherparse::{PacketBuilder, ip_number};
use lb_lab::{
    capture::Kind,
    lab::Lab,
    topology::{Host, Topology},
    wait::wait_until,
    xdp::{self, Verdict},
};
use lb_tests::{
    labs::{l1_nat_weighted, l3_direct_one_subnet, l7_tunnel},
    load::losses,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(172, 16, 10, 22);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 11);

#[test]
fn a_client_reaches_a_server_behind_a_router() {
    let lab = Lab::realise(&l7_tunnel::topology()).unwrap();
    let client = lab.client("client", "10.20.0.2:80").unwrap();
    let reply = client.get("/").unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.server, "web2");
    assert_eq!(reply.body, "web2\n");
}

#[test]
fn a_server_sees_the_client_and_keeps_the_connection() {
    let lab = Lab::realise(&l1_nat_weighted::topology()).unwrap();
    let client = lab.client("director", "192.168.100.39:80").unwrap();
    let mut connection = client.connect().unwrap();
    let own = connection.local().to_string();
    for _ in 0..3 {
        assert_eq!(connection.get("/client").unwrap().body, own.as_bytes());
    }
}

#[test]
fn uploads_and_downloads_arrive_whole() {
    let lab = Lab::realise(&l1_nat_weighted::topology()).unwrap();
    let client = lab.client("director", "192.168.100.39:80").unwrap();
    let body = lb_lab::content::bytes(0, 300_000);
    let reply = client.connect().unwrap().post("/echo", body.clone());
    assert_eq!(reply.unwrap().body, body);
    let mut download = client.connect().unwrap().download(4_000_000).unwrap();
    assert!(download.read(1000).unwrap() < 2_000_000);
    assert_eq!(download.finish().unwrap(), 4_000_000);
}

#[test]
fn a_client_that_reads_late_loses_nothing() {
    let lab = Lab::realise(&l1_nat_weighted::topology()).unwrap();
    for (_, host) in lab.hosts() {
        losses::send_again_only_what_is_lost(host).unwrap();
    }
    let client = lab.client("director", "192.168.100.39:80").unwrap();
    let open = || client.connect().unwrap().download(4_000_000).unwrap();
    let mut downloads: Vec<_> = (0..6).map(|_| open()).collect();
    for download in &mut downloads {
        download.read(500_000).unwrap();
    }
    for download in downloads {
        assert_eq!(download.finish().unwrap(), 4_000_000);
    }
    wait_until("nothing was lost", || {
        let lost = losses::lost(&lab)?;
        anyhow::ensure!(lost.values().all(|lost| *lost == 0), "{lost:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_handshake_that_is_late_is_told_from_one_that_is_lost() {
    let lab = Lab::realise(&l1_nat_weighted::topology()).unwrap();
    for (_, host) in lab.hosts() {
        losses::send_again_only_what_is_lost(host).unwrap();
    }
    let [machine, router, server] =
        ["client", "director", "web39"].map(|name| lab.host(name).unwrap());
    machine
        .ip(["route add 192.168.100.0/24 via 172.16.10.21"])
        .unwrap();
    let client = lab.client("client", "192.168.100.39:80").unwrap();
    // Now all know their ways.
    client.get("/").unwrap();
    let open_after_a_second_syn = |then: &dyn Fn()| {
        let mut capture = lab.capture("client", "eth0").unwrap();
        let opening = client.begin_to_connect().unwrap();
        wait_until("the SYN is sent again", || {
            let sent = capture.tally(|sent, ip| sent && ip.destination_port == 80)?;
            anyhow::ensure!(sent.packets >= 2, "{sent:?}");
            Ok(())
        })
        .unwrap();
        then();
        wait_until("it is open", || Ok(opening.peer_addr()?)).unwrap();
    };

    // The server's answers wait until somebody tells it the way.
    let ignore = |how_much| ("ipv4/conf/all/arp_ignore", how_much);
    router.sysctls(&[ignore("8")]).unwrap();
    server.ip(["neigh flush dev eth0"]).unwrap();
    open_after_a_second_syn(&|| router.sysctls(&[ignore("0")]).unwrap());
    wait_until("all came", || losses::no_handshake_was_lost(&lab)).unwrap();
    wait_until("nothing was lost", || {
        let lost = losses::lost(&lab)?;
        anyhow::ensure!(lost.values().all(|lost| *lost == 0), "{lost:?}");
        Ok(())
    })
    .unwrap();

    let nowhere = "blackhole 192.168.100.39/32";
    router.ip([format!("route add {nowhere}")]).unwrap();
    open_after_a_second_syn(&|| router.ip([format!("route del {nowhere}")]).unwrap());
    losses::no_handshake_was_lost(&lab).unwrap_err();
}

#[test]
fn a_udp_server_names_itself() {
    let lab = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    // The director holds the VIP but runs no server program: the client asks a real server
    // directly.
    let client = lab.client("web47", "192.168.100.11:53").unwrap();
    assert_eq!(client.ask(5000, "who?").unwrap(), "web47: who?");
}

#[test]
fn captures_on_both_ends_count_the_same() {
    let lab = Lab::realise(&l7_tunnel::topology()).unwrap();
    let mut near = lab.capture("client", "eth0").unwrap();
    let mut far = lab.capture("web2", "eth0").unwrap();
    let client = lab.client("client", "10.20.0.2:80").unwrap();
    client.get("/bytes/100000").unwrap();
    wait_until("both ends count the same", || {
        let requests = near.tally(|sent, ip| sent && ip.destination_port == 80)?;
        let requested = far.tally(|sent, ip| !sent && ip.destination_port == 80)?;
        let answers = far.tally(|sent, ip| sent && ip.source_port == 80)?;
        let answered = near.tally(|sent, ip| !sent && ip.source_port == 80)?;
        anyhow::ensure!(requests == requested, "{requests:?} {requested:?}");
        anyhow::ensure!(answers == answered, "{answers:?} {answered:?}");
        anyhow::ensure!(answers.bytes > 100_000 && answers.packets > 100_000 / 1500);
        Ok(())
    })
    .unwrap();
}

#[test]
fn nobody_but_the_director_answers_arp_for_a_vip_that_servers_hold_silently() {
    let lab = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    let mut capture = lab.capture("client", "eth0").unwrap();
    let client = lab.client("client", l3_direct_one_subnet::SERVICE).unwrap();
    assert!(client.connect().is_err(), "no director, so nobody listens");
    let claims = |kind| matches!(kind, Kind::ArpReply(VIP));
    let packets = capture.packets().unwrap().iter();
    let replies = packets.filter(|packet| claims(packet.kind));
    assert_eq!(replies.count(), 1);
}

#[test]
fn the_end_of_a_tunnel_answers_a_datagram_straight_to_the_client() {
    let lab = Lab::realise(&l7_tunnel::topology()).unwrap();
    let question = PacketBuilder::ipv4(CLIENT.octets(), VIP.octets(), 64).udp(4000, 53);
    let mut packet = Vec::new();
    question.write(&mut packet, b"inside?").unwrap();
    let mut capture = lab.capture("client", "eth0").unwrap();
    send_ipip(&lab, Ipv4Addr::new(10, 20, 0, 3), &packet);
    wait_until("the client receives an answer", || {
        let answers =
            capture.tally(|sent, ip| !sent && ip.source == VIP && ip.source_port == 53)?;
        anyhow::ensure!(answers.packets == 1, "{answers:?}");
        // IP header, UDP header, and "web3: inside?"
        anyhow::ensure!(answers.bytes == 20 + 8 + 13, "{answers:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_end_of_a_tunnel_answers_a_syn() {
    let lab = Lab::realise(&l7_tunnel::topology()).unwrap();
    let syn = PacketBuilder::ipv4(CLIENT.octets(), VIP.octets(), 64)
        .tcp(4000, 80, 1, 64_000)
        .syn();
    let mut packet = Vec::new();
    syn.write(&mut packet, &[]).unwrap();
    let mut capture = lab.capture("client", "eth0").unwrap();
    send_ipip(&lab, Ipv4Addr::new(10, 20, 0, 2), &packet);
    wait_until("the client receives a SYN-ACK", || {
        let answers =
            capture.tally(|sent, ip| !sent && ip.source == VIP && ip.source_port == 80)?;
        anyhow::ensure!(answers.packets == 1, "{answers:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_frame_that_an_xdp_program_sends_arrives_at_once() {
    let lab = Lab::realise(&l3_direct_one_subnet::topology()).unwrap();
    let director = lab.host("director").unwrap();
    let _mirror = xdp::attach(director, "eth0", Verdict::Send).unwrap();
    let mut capture = lab.capture_at_switch("director", "eth0").unwrap();
    let client = lab.client("client", l3_direct_one_subnet::SERVICE).unwrap();
    let _ = client.connect_within(Duration::from_millis(1));
    wait_until("the client's ARP request comes back", || {
        let packets = capture.packets()?.iter();
        let requests = packets.filter(|packet| packet.kind == Kind::ArpRequest(VIP));
        let directions: Vec<_> = requests.map(|packet| packet.sent).collect();
        anyhow::ensure!(directions == [true, false], "{directions:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_lab_is_gone_after_a_panic() {
    let prefix = std::sync::Mutex::new(String::new());
    let result = catch_unwind(|| {
        let lab = Lab::realise(&Topology::new("panic", [Host::new("only")])).unwrap();
        *prefix.lock().unwrap() = lab.prefix().to_owned();
        assert_eq!(namespaces_of(lab.prefix()).len(), 2);
        panic!("on purpose: this is what the test is about");
    });
    assert!(result.is_err());
    let prefix = prefix.into_inner().unwrap();
    assert_eq!(namespaces_of(&prefix), Vec::<String>::new());
}

#[test]
fn a_lab_removes_what_a_dead_process_left() {
    let mut dead = Command::new("true").spawn().unwrap();
    let leftover = format!("lb-{}-0-left", dead.id());
    dead.wait().unwrap();
    let ours = format!("lb-{}-left", id());
    for name in [&leftover, &ours] {
        let made = Command::new("ip").args(["netns", "add", name]).status();
        assert!(made.unwrap().success());
    }
    let lab = Lab::realise(&Topology::new("clean", [])).unwrap();
    assert_eq!(namespaces_of(&leftover), Vec::<String>::new());
    assert_eq!(namespaces_of(&ours), [ours.as_str()]);
    drop(lab);
    let removed = Command::new("ip").args(["netns", "del", &ours]).status();
    assert!(removed.unwrap().success());
}

fn namespaces_of(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir("/run/netns").unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Sends a packet within an IPIP packet, from the director's machine.
fn send_ipip(lab: &Lab, to: Ipv4Addr, packet: &[u8]) {
    let director = Ipv4Addr::new(192, 168, 100, 17);
    let mut outer = Vec::new();
    let header = PacketBuilder::ipv4(director.octets(), to.octets(), 64);
    header.write(&mut outer, ip_number::IPV4, packet).unwrap();
    let sent = lab.host("director").unwrap().inside(|| {
        let (kind, protocol) = (SockType::Raw, SockProtocol::Raw);
        let socket = socket(AddressFamily::Inet, kind, SockFlag::empty(), protocol)?;
        let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
        Ok(sendto(socket.as_raw_fd(), &outer, &to, MsgFlags::empty())?)
    });
    assert_eq!(sent.unwrap(), outer.len());
}
