//! Interfaces with any index, and frames to MAC addresses that are not the interface's own.

use lb_common::{
    drops::Drop,
    layout::interface::{INTERFACES, NOWHERE},
    passes::Pass,
};
use lb_tests::{
    dataplane::{Bench, INGRESS, Server, Service, Verdict},
    packets::{ACK, CLIENT, DIRECTOR, Packet, SYN},
};

use crate::support::{add_interface, answer, assert_untouched, bench_with, open, segment, server};

/// The MAC address of an interface above the one that receives frames, such as a macvlan.
const ABOVE: [u8; 6] = [0x02, 0, 0, 0, 0x51, 1];
const FOREIGN: [u8; 6] = [0x02, 0, 0, 0, 0x51, 2];

fn to(packet: &Packet, mac: [u8; 6]) -> Packet {
    packet.clone().hop(packet.from, mac)
}

#[test]
fn frames_to_a_mac_address_that_the_interface_takes_are_served() {
    for method in [Server::direct, Server::translated, Server::tunnelled] {
        let (mut bench, web) = bench_with([method(11)]);
        bench.take_for(INGRESS, ABOVE);
        for flags in [SYN, ACK, ACK] {
            let packet = to(&segment(&web, flags), ABOVE);
            assert_eq!(bench.send(&packet).verdict, Verdict::Transmit);
        }
    }
    let (mut bench, web) = bench_with([Server::translated(11)]);
    bench.take_for(INGRESS, ABOVE);
    open(&mut bench, CLIENT, web.address);
    let reply = to(&answer(server(11, 80), CLIENT, SYN | ACK), ABOVE);
    assert_eq!(bench.send(&reply).verdict, Verdict::Transmit);
}

#[test]
fn frames_to_a_service_at_another_mac_address_pass_and_are_counted() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    bench.take_for(INGRESS + 1, FOREIGN);
    let mut counted = 0;
    let mut pass = |bench: &mut Bench, packet: Packet| {
        counted += 1;
        let frame = to(&packet, FOREIGN).frame();
        assert_untouched(bench, "to another station", &frame);
        assert_eq!(bench.passed(Pass::OtherStation), counted);
    };
    pass(&mut bench, segment(&web, SYN));
    open(&mut bench, CLIENT, web.address);
    pass(&mut bench, segment(&web, ACK));
    pass(&mut bench, answer(server(11, 80), CLIENT, ACK));
    // What is for no service is not counted.
    let other = Packet::tcp(CLIENT, "10.9.9.9:81".parse().expect("an address"), SYN);
    let frame = to(&other, FOREIGN).frame();
    assert_untouched(&mut bench, "of no service", &frame);
    assert_eq!(bench.passed(Pass::OtherStation), 3);
}

#[test]
fn an_interface_whose_first_place_is_taken_is_found_at_another() {
    let mut bench = Bench::new();
    let web = bench.serve(Service::tcp(80).server(Server::translated(11)));
    let second = add_interface("second");
    // An interface that has nothing to do with this has an index with the same lower bits.
    let shadow = [0x02, 0, 0, 0, 9, 9];
    bench.plug_at(second, second + INTERFACES, shadow, 1500);
    bench.plug_at(second + 2, second, DIRECTOR, 1500);
    bench.take_for(second, DIRECTOR);
    let syn = segment(&web, SYN).frame();
    assert_eq!(bench.send_by(second, &syn).verdict, Verdict::Redirect);
    // The reply leaves by the interface itself, not by the other one.
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    let outcome = bench.send(&reply);
    assert_eq!(outcome.verdict, Verdict::Redirect);
    assert_eq!(outcome.packet().from, DIRECTOR);
    assert_eq!(u32::from(bench.table().reverses[0].place), second + 2);
}

#[test]
fn replies_to_a_client_behind_an_interface_that_is_not_known_are_counted() {
    let mut bench = Bench::new();
    let web = bench.serve(Service::tcp(80).server(Server::translated(11)));
    let unknown = add_interface("unknown");
    bench.take_for(unknown, DIRECTOR);
    let syn = segment(&web, SYN).frame();
    assert_eq!(bench.send_by(unknown, &syn).verdict, Verdict::Redirect);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    let verdict = bench.send(&reply).verdict;
    assert_eq!(verdict, Verdict::Drop(Drop::NoRoute));
    assert_eq!(
        u32::from(bench.table().reverses[0].place),
        u32::from(NOWHERE)
    );
}
