//! What two CPUs do with the same key at the same moment: there is one connection, and both
//! packets go to its server.

use std::{
    collections::BTreeSet,
    net::SocketAddrV4,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use lb_common::drops::Drop;
use lb_tests::{
    dataplane::{Bench, Server, Service},
    packets::{Packet, SYN},
};

use crate::support::{client, cpus, stay_on};

/// Moments at which both CPUs send.
const MOMENTS: u16 = 2000;

/// The last byte of the MAC address that a frame goes to: the server's name.
const NAME: usize = 5;

/// Sends two frames at each of many moments, each on a CPU of its own; gives the frames that they
/// became.
fn at_the_same_moment(
    bench: &Bench,
    frames: impl Fn(u16) -> [Vec<u8>; 2] + Sync,
) -> Vec<[Vec<u8>; 2]> {
    let cpus = cpus();
    let arrived = AtomicUsize::new(0);
    let on_cpu = |number: usize| {
        // If one panics, the other must not wait for it.
        let _leave = Leave(&arrived);
        stay_on(cpus[number % cpus.len()]);
        let send = |moment: u16| {
            let [one, other] = frames(moment);
            let frame = if number == 0 { one } else { other };
            arrived.fetch_add(1, SeqCst);
            while arrived.load(SeqCst) < 2 * (usize::from(moment) + 1) {
                // On one CPU, the other thread needs it to arrive.
                if cpus.len() == 1 {
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
            bench.frame_after(&frame)
        };
        (0..MOMENTS).map(send).collect::<Vec<_>>()
    };
    let [one, other] = std::thread::scope(|scope| {
        [0, 1]
            .map(|number| scope.spawn(move || on_cpu(number)))
            .map(|thread| thread.join().expect("frames sent"))
    });
    one.into_iter()
        .zip(other)
        .map(|(one, other)| [one, other])
        .collect()
}

/// Counts as having arrived at every moment when it is dropped.
struct Leave<'a>(&'a AtomicUsize);

impl std::ops::Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(2 * usize::from(MOMENTS), SeqCst);
    }
}

/// Opens many connections, each by two packets at the same moment.
fn assert_one_connection_each(
    service: Service,
    packet: fn(SocketAddrV4, SocketAddrV4) -> Packet,
    entries: usize,
) {
    let mut bench = Bench::with_buckets(4 * u32::from(MOMENTS));
    let served = bench.serve(service);
    let became = at_the_same_moment(&bench, |moment| {
        let frame = packet(client(moment), served.address).frame();
        [frame.clone(), frame]
    });
    // Finds twins, too.
    let table = bench.table();
    assert_eq!(table.connections.len(), usize::from(MOMENTS));
    assert_eq!(
        table.connections.len() + table.reverses.len(),
        entries * usize::from(MOMENTS)
    );
    let mut used = BTreeSet::new();
    for (moment, [one, other]) in (0..).zip(became) {
        assert_eq!(one[NAME], other[NAME], "client {moment} has two servers");
        let connection = table.find(client(moment), served.address);
        let server = connection.expect("a connection").server;
        assert_eq!(one[NAME], bench.name(server), "of client {moment}");
        used.insert(server);
    }
    assert_eq!(used.len(), 2, "both servers are in use");
    let counted = served.servers.iter();
    let opened: u64 = counted
        .map(|&server| bench.traffic(server).connections)
        .sum();
    assert_eq!(opened, u64::from(MOMENTS));
}

fn syn(client: SocketAddrV4, service: SocketAddrV4) -> Packet {
    Packet::tcp(client, service, SYN)
}

#[test]
fn one_syn_on_two_cpus_opens_one_connection() {
    let service = Service::tcp(80);
    let service = service
        .server(Server::direct(11))
        .server(Server::direct(12));
    assert_one_connection_each(service, syn, 1);
}

#[test]
fn with_nat_it_has_one_reverse_entry() {
    let service = Service::tcp(80);
    let service = service
        .server(Server::translated(11))
        .server(Server::translated(12));
    assert_one_connection_each(service, syn, 2);
}

#[test]
fn two_datagrams_of_one_socket_go_to_one_server() {
    let service = Service::udp(53);
    let service = service
        .server(Server::translated(11))
        .server(Server::translated(12));
    assert_one_connection_each(service, Packet::udp, 2);
}

#[test]
fn two_cpus_that_need_a_slot_of_a_full_bucket_get_one_each() {
    // Eight half-open connections: there is always one to give up.
    let mut bench = Bench::with_buckets(1);
    let web = bench.serve(Service::tcp(80).server(Server::direct(11)));
    let _ = at_the_same_moment(&bench, |moment| {
        [2 * moment, 2 * moment + 1].map(|number| syn(client(number), web.address).frame())
    });
    assert_eq!(bench.drops()[Drop::TableFull as usize], 0);
    assert_eq!(bench.table().connections.len(), 8);
}
