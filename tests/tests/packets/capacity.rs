//! A table made for so many connections holds that many.

use lb_common::table::places::buckets_for;
use lb_tests::{
    dataplane::{Bench, Server, Service, Size},
    packets::{ACK, CLIENT, ETHERNET, SYN, with_header_checksum},
};

use crate::support::{answer, segment, server};

const PASS: Option<u32> = Some(2);
const TRANSMIT: Option<u32> = Some(3);

/// Number `number` of as many different clients as there are numbers: address and port
/// written to a frame at these places.
fn set_client(frame: &mut [u8], address: usize, port: usize, number: u32) {
    frame[address + 1..address + 4].copy_from_slice(&(number / 50_000).to_be_bytes()[1..]);
    let number = 1024 + (number % 50_000) as u16;
    frame[port..port + 2].copy_from_slice(&number.to_be_bytes());
}

const SOURCE: (usize, usize) = (ETHERNET + 12, ETHERNET + 20);
const DESTINATION: (usize, usize) = (ETHERNET + 16, ETHERNET + 22);

#[test]
fn as_many_connections_as_were_asked_for_fit_in_and_are_found_again() {
    // Of DR, a slot each; of NAT, two.
    for (connections, method) in [
        (200_000, Server::direct as fn(u8) -> Server),
        (100_000, Server::translated),
    ] {
        let mut bench = Bench::sized(Size {
            buckets: buckets_for(connections),
            ..Size::default()
        });
        let web = bench.serve(Service::tcp(80).server(method(11)));
        let for_everyone = |packet: &lb_tests::packets::Packet, (address, port), expected| {
            let mut frame = packet.frame();
            for number in 0..connections {
                set_client(&mut frame, address, port, number);
                frame = with_header_checksum(frame);
                let action = bench.send_blindly([&frame[..]]);
                assert_eq!(action, expected, "client {number} of {connections}");
            }
        };
        let nat = bench.name(web.servers[0]) == 11 && connections == 100_000;
        for_everyone(&segment(&web, ACK), SOURCE, PASS);
        for_everyone(&segment(&web, SYN), SOURCE, TRANSMIT);
        for_everyone(&segment(&web, ACK), SOURCE, TRANSMIT);
        if nat {
            for_everyone(&answer(server(11, 80), CLIENT, ACK), DESTINATION, TRANSMIT);
        }
        assert_eq!(bench.load(web.servers[0]), (connections, 0));
        assert_eq!(
            bench.traffic(web.servers[0]).connections,
            u64::from(connections)
        );
    }
}
