//! Which of the four verdicts a packet gets.

use std::{fs, process::Command};

use anyhow::ensure;
use lb_lab::wait::wait_until;
use lb_tests::{
    dataplane::{Bench, INGRESS, Server, Service, Verdict, server_mac},
    packets::{ACK, CLIENT, DIRECTOR, Packet, SYN},
};

use crate::support::{add_interface, answer, bench_with, ip, open, segment, server, vip};

#[test]
fn a_packet_leaves_by_the_interface_that_its_server_is_behind() {
    let mut bench = Bench::new();
    for (port, near, far) in [
        (80, Server::direct(11), Server::direct(21).elsewhere()),
        (
            81,
            Server::translated(12),
            Server::translated(22).elsewhere(),
        ),
        (82, Server::tunnelled(13), Server::tunnelled(23).elsewhere()),
    ] {
        let here = bench.serve(Service::tcp(port).server(near));
        let there = bench.serve(Service::tcp(port + 100).server(far));
        for flags in [SYN, ACK] {
            let outcome = bench.send(&segment(&here, flags));
            assert_eq!(outcome.verdict, Verdict::Transmit, "port {port}");
            let outcome = bench.send(&segment(&there, flags));
            assert_eq!(outcome.verdict, Verdict::Redirect, "port {port} + 100");
        }
    }
}

#[test]
fn whether_a_packet_is_redirected_depends_on_the_interface_that_received_it() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    let second = add_interface("second");
    bench.plug(second, DIRECTOR);
    let syn = segment(&web, SYN).frame();
    assert_eq!(bench.send_by(second, &syn).verdict, Verdict::Redirect);
    assert_eq!(bench.send_by(INGRESS, &syn).verdict, Verdict::Transmit);
    let to_it = bench.serve(Service::tcp(81).server(Server::direct(12).behind(second)));
    let syn = segment(&to_it, SYN).frame();
    assert_eq!(bench.send_by(second, &syn).verdict, Verdict::Transmit);
    assert_eq!(bench.send_by(INGRESS, &syn).verdict, Verdict::Redirect);
}

#[test]
fn a_reply_leaves_by_the_interface_that_received_its_clients_packets() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let second = add_interface("second");
    let its_mac = [0x02, 0, 0, 0, 0, 0x42];
    bench.plug(second, its_mac);
    let from_there = [0x02, 0, 0, 0, 0, 0x43];
    let syn = segment(&web, SYN).hop(from_there, its_mac);
    let _ = bench.send_by(second, &syn.frame());
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    let outcome = bench.send(&reply);
    assert_eq!(outcome.verdict, Verdict::Redirect);
    let expected = reply
        .clone()
        .aged()
        .hop(its_mac, from_there)
        .sent_from(web.address);
    assert_eq!(outcome.packet(), expected);
    let outcome = bench.send_by(second, &reply.clone().hop(from_there, its_mac).frame());
    assert_eq!(outcome.verdict, Verdict::Transmit);
    assert_eq!(outcome.packet(), expected);
}

#[test]
fn what_is_redirected_arrives_at_the_other_end_of_that_interface() {
    let mut bench = Bench::new();
    let out = add_interface("out");
    for interface in ["lo", "out", "out-peer"] {
        ip(&format!("link set {interface} up"));
    }
    take_redirected_frames("out-peer");
    let web = bench.serve(Service::tcp(80).server(Server::direct(11).behind(out)));
    let before = received("out-peer");
    for _ in 0..10 {
        bench.send_live(&segment(&web, SYN).frame());
    }
    let arrived = wait_until("ten frames at the peer", || {
        let arrived = received("out-peer") - before;
        ensure!(arrived >= 10, "{arrived} frames");
        Ok(())
    });
    arrived.expect("frames sent to that interface and no other");
}

/// A veth without an XDP program takes redirected frames only if its peer does GRO.
fn take_redirected_frames(peer: &str) {
    let status = Command::new("ethtool")
        .args(["-K", peer, "gro", "on"])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "ethtool");
}

/// Frames that the interface of this name in this thread's namespace has received.
fn received(interface: &str) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("the interfaces' counts");
    let packets = table.lines().find_map(|line| {
        let counts = line.trim().strip_prefix(interface)?.strip_prefix(':')?;
        counts.split_whitespace().nth(1)?.parse().ok()
    });
    packets.expect("the interface's packets, in the second column")
}

#[test]
fn the_frame_goes_to_the_servers_next_hop_and_comes_from_the_director() {
    for (name, method_of) in [
        ("DR", Server::direct as fn(u8) -> Server),
        ("NAT", Server::translated),
        ("TUN", Server::tunnelled),
    ] {
        let (mut bench, web) = bench_with([method_of(11)]);
        let frame = bench.send(&segment(&web, SYN)).frame;
        assert_eq!(frame[..6], server_mac(11), "{name}");
        assert_eq!(frame[6..12], DIRECTOR, "{name}");
        assert_eq!(frame[12..14], [0x08, 0x00], "{name}");
    }
}

#[test]
fn clients_of_a_server_that_moved_follow_it() {
    let (mut bench, web) = bench_with([Server::direct(11)]);
    open(&mut bench, CLIENT, web.address);
    bench.edit_server(web.servers[0], |server| {
        // It changes the last byte of the next hop's MAC address only.
        server.ethernet[1] = u32::from_ne_bytes({
            let mut bytes = server.ethernet[1].to_ne_bytes();
            bytes[1] = 99;
            bytes
        });
    });
    let outcome = bench.send(&Packet::tcp(CLIENT, vip(80), ACK));
    assert_eq!(outcome.packet().to, server_mac(99));
}
