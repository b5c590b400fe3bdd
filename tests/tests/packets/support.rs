//! What several files need.

use std::{net::SocketAddrV4, process::Command};

use lb_tests::{
    dataplane::{Bench, Outcome, Served, Server, Service, Verdict, server_address},
    packets::{CLIENT, DIRECTOR, Packet, SYN, VIP},
};
use nix::{
    net::if_::if_nametoindex,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestRunner},
};

/// A client like [`CLIENT`], and another one for each number.
pub fn client(number: u16) -> SocketAddrV4 {
    SocketAddrV4::new(*CLIENT.ip(), 1024 + number)
}

/// A service on a port of [`VIP`].
pub fn vip(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(VIP, port)
}

/// Where a server listens.
pub fn server(name: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(server_address(name), port)
}

/// A TCP segment from [`CLIENT`] to a service.
pub fn segment(served: &Served, flags: u8) -> Packet {
    Packet::tcp(CLIENT, served.address, flags)
}

/// A bench with one TCP service on port 80 with these servers.
pub fn bench_with(servers: impl IntoIterator<Item = Server>) -> (Bench, Served) {
    let mut bench = Bench::new();
    let served = bench.serve(servers.into_iter().fold(Service::tcp(80), Service::server));
    (bench, served)
}

/// The opposite way: as the server answers, in a frame to the director.
pub fn answer(server: SocketAddrV4, client: SocketAddrV4, flags: u8) -> Packet {
    Packet::tcp(server, client, flags).hop(SERVER_SIDE, DIRECTOR)
}

/// The MAC address that answers come from.
pub const SERVER_SIDE: [u8; 6] = [0x02, 0, 0, 0, 2, 0xFE];

/// Fails unless the program let the frame pass as it was.
#[track_caller]
pub fn assert_untouched(bench: &mut Bench, what: &str, frame: &[u8]) {
    let expected = Outcome {
        verdict: Verdict::Pass,
        frame: frame.to_vec(),
    };
    assert_eq!(bench.send_frame(frame), expected, "{what}");
}

/// Fails unless the packet goes out as `expected`, by the interface that it came in by.
#[track_caller]
pub fn assert_sent(bench: &mut Bench, packet: &Packet, expected: &Packet) {
    let outcome = bench.send(packet);
    assert_eq!(outcome.verdict, Verdict::Transmit, "of {packet:#?}");
    // The structs tell more where they differ; the bytes tell all.
    assert_eq!(outcome.packet(), *expected);
    assert_eq!(outcome.frame, expected.frame());
}

/// Opens a connection, which must be forwarded.
#[track_caller]
pub fn open(bench: &mut Bench, client: SocketAddrV4, service: SocketAddrV4) {
    let outcome = bench.send(&Packet::tcp(client, service, SYN));
    assert!(
        matches!(outcome.verdict, Verdict::Transmit | Verdict::Redirect),
        "the SYN of {client} was not forwarded: {:?}",
        outcome.verdict
    );
}

/// Adds an interface to this thread's network namespace; gives its index.
pub fn add_interface(name: &str) -> u32 {
    ip(&format!("link add {name} type veth peer name {name}-peer"));
    if_nametoindex(name).expect("the interface that was just made")
}

/// Runs `ip` in this thread's network namespace.
pub fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("`ip`, of iproute2");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {message}");
}

/// Tries a property on that many random cases. Unlike `proptest!`, it lets them share what
/// `test` captures, for a program takes longer to load than a thousand packets to send.
pub fn for_all<S: Strategy>(cases: u32, strategy: S, mut test: impl FnMut(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let test = std::cell::RefCell::new(&mut test);
    let result = TestRunner::new(config).run(&strategy, |case| {
        (test.borrow_mut())(case);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// The CPUs that this thread may use.
pub fn cpus() -> Vec<u32> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("the kernel's word");
    (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu) == Ok(true))
        .map(|cpu| cpu as u32)
        .collect()
}

/// Keeps this thread on a CPU.
pub fn stay_on(cpu: u32) {
    let mut only = CpuSet::new();
    only.set(cpu as usize).expect("a CPU that there is");
    sched_setaffinity(Pid::from_raw(0), &only).expect("a CPU that we may use");
}
