//! Malformed and random frames: those that do not belong to a service stay as they were, and
//! those that are forwarded are what they should be.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    Icmpv4Type,
    checksum::Sum16BitWords,
    icmpv4::{DestUnreachableHeader, TimeExceededCode},
};
use lb_common::{drops::Drop, server::Method};
use lb_tests::{
    dataplane::{Bench, SERVER_SIDE_ADDRESS, Server, Service, Verdict, server_address, server_mac},
    packets::{
        ACK, DIRECTOR, ETHERNET, FIN, Packet, ROUTER, RST, SYN, VIP, icmp_error, icmp_error_from,
        with_header_checksum,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::support::{SERVER_SIDE, answer, client, for_all, server, vip};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What is served: protocol, port, method, the server's name and port.
const SERVED: [(u8, u16, Method, u8, u16); 5] = [
    (TCP, 80, Method::Dr, 11, 80),
    (TCP, 81, Method::Nat, 12, 8081),
    (TCP, 82, Method::Tun, 13, 82),
    (UDP, 53, Method::Nat, 14, 5353),
    (UDP, 54, Method::Dr, 15, 54),
];

fn bench() -> Bench {
    let mut bench = Bench::new();
    for (protocol, port, method, name, server_port) in SERVED {
        let service = if protocol == TCP {
            Service::tcp(port)
        } else {
            Service::udp(port)
        };
        bench.serve(service.server(Server::by(method, name).port(server_port)));
    }
    bench
}

/// Sends a frame and checks the outcome.
fn try_out(bench: &mut Bench, frame: &[u8]) {
    let outcome = bench.send_frame(frame);
    match outcome.verdict {
        Verdict::Pass | Verdict::Drop(_) => assert_eq!(outcome.frame, frame),
        Verdict::Answer(reason) => {
            let servers = SERVED.map(|(.., name, _)| server_address(name).octets());
            let expected = match servers
                .iter()
                .any(|server| frame[ETHERNET + 12..][..4] == *server)
            {
                true => icmp_error_from(SERVER_SIDE_ADDRESS, frame, told(reason)),
                false => icmp_error(frame, told(reason)),
            };
            assert_eq!(outcome.frame, expected);
        }
        Verdict::Redirect => panic!("all servers are behind the same interface"),
        Verdict::Transmit => {
            let input = Input::of(frame).expect("what is forwarded is a whole TCP or UDP packet");
            assert!(
                input.could_become(&outcome.frame),
                "forwarded, but not as any service would:\n{frame:02x?}\n{:02x?}",
                outcome.frame
            );
        }
    }
}

/// The ICMP error for a reason to drop that these frames can cause.
fn told(reason: Drop) -> Icmpv4Type {
    match reason {
        Drop::TtlExpired => Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit),
        Drop::TooBig => {
            let header = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1480 };
            Icmpv4Type::DestinationUnreachable(header)
        }
        other => panic!("{other:?} is not answered"),
    }
}

/// What the bytes of a frame say, read independently of the program.
struct Input<'a> {
    frame: &'a [u8],
    /// Where TCP or UDP begins.
    transport: usize,
    /// Where the IP packet ends.
    end: usize,
}

impl<'a> Input<'a> {
    fn of(frame: &'a [u8]) -> Option<Self> {
        let ip = frame.get(ETHERNET..)?;
        let to_us = frame[..6] == DIRECTOR && frame[12..14] == [0x08, 0];
        let header = usize::from(ip.first()? & 0x0F) * 4;
        let fixed = ip.get(..20)?;
        let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3FFF;
        let least = match fixed[9] {
            TCP => header + 20,
            UDP => header + 8,
            _ => return None,
        };
        let sound = to_us
            && fixed[0] >> 4 == 4
            && header >= 20
            && fragment == 0
            && fixed[8] > 1
            && (least..=ip.len()).contains(&length);
        sound.then_some(Self {
            frame,
            transport: ETHERNET + header,
            end: ETHERNET + length,
        })
    }

    fn protocol(&self) -> u8 {
        self.frame[ETHERNET + 9]
    }

    fn source(&self) -> SocketAddrV4 {
        endpoint(&self.frame[ETHERNET + 12..], &self.frame[self.transport..])
    }

    fn destination(&self) -> SocketAddrV4 {
        endpoint(
            &self.frame[ETHERNET + 16..],
            &self.frame[self.transport + 2..],
        )
    }

    /// Whether `out` is what one of the services, or one of their servers' replies, makes of it.
    fn could_become(&self, out: &[u8]) -> bool {
        SERVED
            .into_iter()
            .any(|(protocol, port, method, name, server_port)| {
                if protocol != self.protocol() {
                    return false;
                }
                let real = SocketAddrV4::new(server_address(name), server_port);
                if self.destination() == vip(port) && self.as_request(out, method, name, real) {
                    return true;
                }
                method == Method::Nat && self.source() == real && self.as_reply(out, vip(port))
            })
    }

    fn as_request(&self, out: &[u8], method: Method, name: u8, real: SocketAddrV4) -> bool {
        let mut expected = self.frame.to_vec();
        expected[..6].copy_from_slice(&server_mac(name));
        expected[6..12].copy_from_slice(&DIRECTOR);
        expected[ETHERNET + 8] -= 1;
        match method {
            Method::Dr => {}
            Method::Nat => {
                expected[ETHERNET + 16..ETHERNET + 20].copy_from_slice(&real.ip().octets());
                expected[self.transport + 2..self.transport + 4]
                    .copy_from_slice(&real.port().to_be_bytes());
            }
            Method::Tun => {
                if out.len() != self.frame.len() + 20 {
                    return false;
                }
                let outer = &out[ETHERNET..ETHERNET + 20];
                let length = (self.end - ETHERNET + 20) as u16;
                let ends = [[10, 2, 0, 1], real.ip().octets()].concat();
                let sound = outer[0] == 0x45
                    && outer[2..4] == length.to_be_bytes()
                    && outer[8] == expected[ETHERNET + 8]
                    && outer[9] == 4
                    && outer[12..] == ends
                    && residue(&[outer]) == 0
                    && out[..14] == expected[..14];
                let inner = [&out[..ETHERNET], &out[ETHERNET + 20..]].concat();
                return sound && self.differs_in_checksums_only(expected, inner);
            }
        }
        self.differs_in_checksums_only(expected, out.to_vec())
    }

    fn as_reply(&self, out: &[u8], from: SocketAddrV4) -> bool {
        let mut expected = self.frame.to_vec();
        // The client's next hop may have any MAC address.
        expected[..6].copy_from_slice(&out[..6]);
        expected[6..12].copy_from_slice(&DIRECTOR);
        expected[ETHERNET + 8] -= 1;
        expected[ETHERNET + 12..ETHERNET + 16].copy_from_slice(&from.ip().octets());
        expected[self.transport..self.transport + 2].copy_from_slice(&from.port().to_be_bytes());
        self.differs_in_checksums_only(expected, out.to_vec())
    }

    /// Whether the two are the same except for checksums, and the checksums of `out` are exactly
    /// as right or wrong as those of the frame that was sent in.
    fn differs_in_checksums_only(&self, mut expected: Vec<u8>, mut out: Vec<u8>) -> bool {
        if expected.len() != out.len() || self.residues(&out) != self.residues(self.frame) {
            return false;
        }
        for bytes in [&mut expected, &mut out] {
            bytes[ETHERNET + 10..ETHERNET + 12].fill(0);
            bytes[self.checksum()..self.checksum() + 2].fill(0);
        }
        expected == out
    }

    fn checksum(&self) -> usize {
        self.transport + if self.protocol() == TCP { 16 } else { 6 }
    }

    /// What is wrong with the checksums of the IP header and of TCP or UDP: 0 if nothing.
    fn residues(&self, frame: &[u8]) -> (u16, Option<u16>) {
        let header = residue(&[&frame[ETHERNET..self.transport]]);
        let unchecked = frame[self.checksum()..self.checksum() + 2] == [0, 0];
        if self.protocol() == UDP && unchecked {
            return (header, None);
        }
        let length = (self.end - self.transport) as u16;
        let pseudo = [&[0, self.protocol()], &length.to_be_bytes()[..]].concat();
        let addresses = &frame[ETHERNET + 12..ETHERNET + 20];
        let segment = &frame[self.transport..self.end];
        (header, Some(residue(&[&pseudo, addresses, segment])))
    }
}

/// The one's complement of the sum of all words. Both 0 and 0xFFFF mean 0.
fn residue(parts: &[&[u8]]) -> u16 {
    let sum = parts
        .iter()
        .fold(Sum16BitWords::new(), |sum, part| sum.add_slice(part));
    match sum.ones_complement() {
        0xFFFF => 0,
        other => other,
    }
}

fn endpoint(address: &[u8], port: &[u8]) -> SocketAddrV4 {
    let address = Ipv4Addr::new(address[0], address[1], address[2], address[3]);
    SocketAddrV4::new(address, u16::from_be_bytes([port[0], port[1]]))
}

/// A good frame of one of a few clients to or from one of the services.
fn good() -> impl Strategy<Value = Vec<u8>> {
    let flags = select(vec![SYN, SYN, ACK, ACK, FIN | ACK, RST, 0, 0xFF]);
    let payload = vec(any::<u8>(), 0..40);
    (
        0..4u16,
        select(SERVED.to_vec()),
        flags,
        any::<bool>(),
        payload,
        0..3usize,
    )
        .prop_map(
            |(who, (protocol, port, _, name, server_port), flags, reply, payload, options)| {
                let packet = match (protocol, reply) {
                    (TCP, false) => Packet::tcp(client(who), vip(port), flags),
                    (TCP, true) => answer(server(name, server_port), client(who), flags),
                    (_, false) => Packet::udp(client(who), vip(port)),
                    (_, true) => Packet::udp(server(name, server_port), client(who))
                        .hop(SERVER_SIDE, DIRECTOR),
                };
                packet
                    .payload(&payload)
                    .options(&[1; 8][..4 * options])
                    .frame()
            },
        )
}

/// A good frame with a few wrong bytes.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((0..80usize, any::<u8>()), 0..4);
    let cut = option::weighted(0.2, ETHERNET..120usize);
    let tail = option::weighted(0.2, vec(any::<u8>(), 0..60));
    (good(), changes, cut, tail).prop_map(|(mut frame, changes, cut, tail)| {
        for (place, byte) in changes {
            if let Some(at) = frame.get_mut(place) {
                *at = byte;
            }
        }
        frame.truncate(cut.unwrap_or(frame.len()).max(ETHERNET));
        frame.extend(tail.unwrap_or_default());
        frame
    })
}

/// Random bytes behind none, one or more good headers.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>(), ETHERNET..200);
    (bytes, 0..5usize, any::<u8>()).prop_map(|(mut bytes, depth, any)| {
        let mut put = |place: usize, known: &[u8]| {
            if let Some(part) = bytes.get_mut(place..place + known.len()) {
                part.copy_from_slice(known);
            }
        };
        if depth > 0 {
            put(0, &DIRECTOR);
            put(12, &[0x08, 0]);
        }
        if depth > 1 {
            put(ETHERNET, &[0x45 + (any & 3)]);
            put(ETHERNET + 2, &[0, any]);
        }
        if depth > 2 {
            put(ETHERNET + 6, &[0, 0]);
            put(ETHERNET + 9, &[if any & 4 == 0 { TCP } else { UDP }]);
            put(ETHERNET + 16, &VIP.octets());
        }
        if depth > 3 {
            put(
                ETHERNET + 22 + 4 * usize::from(any & 3),
                &[0, if any & 4 == 0 { 80 } else { 54 }],
            );
        }
        bytes
    })
}

#[test]
fn random_bytes_do_no_harm() {
    let mut bench = bench();
    for_all(2000, noise(), |frame| try_out(&mut bench, &frame));
    let _ = bench.table();
}

#[test]
fn large_random_frames_do_no_harm() {
    let mut bench = bench();
    for_all(200, vec(any::<u8>(), 1000..3500), |mut frame| {
        try_out(&mut bench, &frame);
        frame[..14].copy_from_slice(&[&DIRECTOR[..], &ROUTER, &[0x08, 0]].concat());
        try_out(&mut bench, &frame);
    });
}

#[test]
fn spoilt_packets_among_good_ones_do_no_harm() {
    let mut bench = bench();
    for_all(300, vec(prop_oneof![good(), spoilt()], 1..40), |frames| {
        bench.forget();
        for frame in frames {
            try_out(&mut bench, &frame);
        }
        let _ = bench.table();
    });
}

#[test]
fn good_ones_are_forwarded() {
    // Otherwise the tests above would prove nothing.
    let mut bench = bench();
    let (mut sent, mut forwarded) = (0, 0);
    for_all(100, vec(good(), 40), |frames| {
        bench.forget();
        for frame in frames {
            sent += 1;
            forwarded += u32::from(bench.send_frame(&frame).verdict == Verdict::Transmit);
        }
    });
    assert!(forwarded > sent / 5, "{forwarded} of {sent}");
}

#[test]
fn every_single_bit_of_the_headers_may_flip() {
    let mut bench = bench();
    for options in [0, 8] {
        for (_, port, ..) in SERVED {
            let who = client(options as u16);
            let packets = [
                Packet::tcp(who, vip(port), SYN),
                Packet::tcp(who, vip(port), ACK).payload(b"data"),
                Packet::udp(who, vip(port)),
                answer(server(12, 8081), who, ACK),
            ];
            for packet in packets {
                let frame = packet.options(&[1; 40][..options]).frame();
                try_out(&mut bench, &frame);
                for bit in 0..8 * (ETHERNET + 20 + options + 20) {
                    let mut frame = frame.clone();
                    let Some(byte) = frame.get_mut(bit / 8) else {
                        break;
                    };
                    *byte ^= 1 << (bit % 8);
                    try_out(&mut bench, &frame);
                    if (0x45..=0x4F).contains(&frame[ETHERNET]) && frame.len() > ETHERNET + 60 {
                        try_out(&mut bench, &with_header_checksum(frame));
                    }
                }
            }
        }
    }
    let _ = bench.table();
}
