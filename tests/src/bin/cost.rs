//! What the data plane costs for each packet, in nanoseconds, as the kernel measures it in
//! `BPF_PROG_TEST_RUN`. Needs root. The method is printed along with the figures.

use std::{
    io::{self, Write},
    net::SocketAddrV4,
};

use anyhow::{Result, ensure};
use etherparse::EtherType;
use lb_common::connection::buckets_for;
use lb_tests::{
    dataplane::{Bench, Server, Service, Size, Traffic},
    packets::{ACK, CLIENT, DIRECTOR, ETHERNET, Packet, ROUTER, SYN, VIP, ethernet},
};

const METHOD: &str = "\
Method
  hot    One established connection. The kernel runs the program 250 times on a packet with
         a TTL of 255, and says how long one run took on average; that, 4000 times over. The
         next hop's MAC address is the director's own, and NAT translates to the service's
         own address, so that each run finds the packet as it must be to be forwarded again:
         all work is done, and the counters show that every run forwarded.
  cold   A packet for each of 200 000 established connections, in an order that no cache
         foresees; the kernel measures each single run.
  net    What is left when the cost of a packet that leaves the program at its first check
         (not IPv4), measured the same way, is taken away: it is the cost of measuring.
  Drivers, memory for packets and the wire are not part of it: expect less from a network
  card than these figures say. TUN cannot be measured so, for its own output is not a
  packet to the service.
";

const BATCH: u32 = 250;
const BATCHES: u32 = 4000;
const CONNECTIONS: u32 = 200_000;

const TRANSMIT: u32 = 3;
const PASS: u32 = 2;

fn main() -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{METHOD}")?;
    writeln!(out, "ns per packet          median   mean   net")?;

    let (bench, _) = hot(Server::direct(11))?;
    let no_ip = ethernet(ROUTER, DIRECTOR, EtherType::ARP);
    let idle = batches(&bench, &[&no_ip[..], &[0; 46]].concat(), PASS)?;
    let elsewhere = Packet::tcp(CLIENT, SocketAddrV4::new(*CLIENT.ip(), 80), ACK);
    let passed = batches(&bench, &elsewhere.ttl(255).frame(), PASS)?;
    report(&mut out, "hot, not IPv4", idle, idle)?;
    report(&mut out, "hot, not to a VIP", passed, idle)?;
    for (name, server) in [
        ("hot, DR", Server::direct(11)),
        ("hot, NAT", Server::translated(11).at(VIP)),
    ] {
        let (bench, packet) = hot(server)?;
        let before = bench.traffic(0);
        let cost = batches(&bench, &packet, TRANSMIT)?;
        ensure!(
            forwarded(before, bench.traffic(0)) == u64::from(BATCH * BATCHES),
            "not every run forwarded the packet"
        );
        report(&mut out, name, cost, idle)?;
    }
    cold(&mut out)
}

/// A bench with one established connection to a server whose next hop is the director, and
/// a packet of it.
fn hot(server: Server) -> Result<(Bench, Vec<u8>)> {
    let mut bench = Bench::new();
    let web = bench.serve(Service::tcp(80).server(server));
    bench.edit_server(web.servers[0], |server| {
        let [a, b, c, d, e, f] = DIRECTOR;
        let pairs = [[a, b, c, d], [e, f, a, b], [c, d, e, f]];
        server.ethernet = pairs.map(u32::from_ne_bytes);
    });
    for flags in [SYN, ACK] {
        let packet = Packet::tcp(CLIENT, web.address, flags);
        ensure!(
            bench.repeat(&packet.frame(), 1).0 == TRANSMIT,
            "no connection"
        );
    }
    Ok((
        bench,
        Packet::tcp(CLIENT, web.address, ACK).ttl(255).frame(),
    ))
}

/// Averages of all batches.
fn batches(bench: &Bench, frame: &[u8], action: u32) -> Result<Cost> {
    let mut times = Vec::new();
    for _ in 0..BATCHES {
        let (last, time) = bench.repeat(frame, BATCH);
        ensure!(last == action, "XDP action {last} instead of {action}");
        times.push(time);
    }
    Ok(Cost::of(times))
}

/// One packet for each of many connections.
fn cold(out: &mut impl Write) -> Result<()> {
    for (name, server) in [
        ("cold, DR", Server::direct(11)),
        ("cold, NAT", Server::translated(11)),
    ] {
        let mut bench = Bench::sized(Size {
            buckets: buckets_for(CONNECTIONS),
            ..Size::default()
        });
        let web = bench.serve(Service::tcp(80).server(server));
        let mut syn = Packet::tcp(CLIENT, web.address, SYN).frame();
        let mut ack = Packet::tcp(CLIENT, web.address, ACK).frame();
        for number in 0..CONNECTIONS {
            for frame in [&mut syn, &mut ack] {
                set_client(frame, number);
                ensure!(
                    bench.repeat(frame, 1).0 == TRANSMIT,
                    "no connection {number}"
                );
            }
        }
        let no_ip = ethernet(ROUTER, DIRECTOR, EtherType::ARP);
        let no_ip = [&no_ip[..], &[0; 46]].concat();
        let (mut idle, mut times) = (Vec::new(), Vec::new());
        // A stride that shares no factor with the number visits each of them once.
        for number in
            (0..CONNECTIONS).map(|n| (u64::from(n) * 77_773 % u64::from(CONNECTIONS)) as u32)
        {
            set_client(&mut ack, number);
            idle.push(bench.repeat(&no_ip, 1).1);
            let (action, time) = bench.repeat(&ack, 1);
            ensure!(action == TRANSMIT, "connection {number} is gone");
            times.push(time);
        }
        report(out, name, Cost::of(times), Cost::of(idle))?;
    }
    Ok(())
}

/// Writes the client's address and port.
fn set_client(frame: &mut [u8], number: u32) {
    let host = (number / 50_000) as u16;
    frame[ETHERNET + 14..ETHERNET + 16].copy_from_slice(&host.to_be_bytes());
    let port = 1024 + (number % 50_000) as u16;
    frame[ETHERNET + 20..ETHERNET + 22].copy_from_slice(&port.to_be_bytes());
}

fn forwarded(before: Traffic, after: Traffic) -> u64 {
    after.in_packets - before.in_packets
}

/// Nanoseconds.
#[derive(Clone, Copy)]
struct Cost {
    median: u64,
    mean: f64,
}

impl Cost {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let mean = times.iter().sum::<u64>() as f64 / times.len() as f64;
        let median = times[times.len() / 2];
        Self { median, mean }
    }
}

fn report(out: &mut impl Write, name: &str, cost: Cost, idle: Cost) -> io::Result<()> {
    let net = cost.median.saturating_sub(idle.median);
    writeln!(
        out,
        "{name:<20} {:>8} {:>6.0} {net:>5}",
        cost.median, cost.mean
    )
}
