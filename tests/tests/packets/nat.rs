//! NAT: clients' packets go to the server's address and port, replies come from the
//! service's, and all checksums are as if they had been sent so.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::{drops::Drop, state::tcp::TcpState};
use lb_tests::{
    dataplane::{Bench, Connection, INGRESS, Served, Server, Service, Verdict, server_mac},
    packets::{ACK, CLIENT, DIRECTOR, ETHERNET, FIN, PSH, Packet, ROUTER, RST, SYN},
};
use nix::net::if_::if_nametoindex;
use proptest::strategy::Strategy;

use crate::{
    strategies,
    support::{
        SERVER_SIDE, add_interface, answer, assert_sent, assert_untouched, bench_with, client,
        for_all, ip, open, segment, server, vip,
    },
};

/// A bench with TCP port 80 and UDP port 53 served by other ports.
fn bench() -> (Bench, Served, Served) {
    let (mut bench, web) = bench_with([Server::translated(11).port(8080)]);
    let dns = bench.serve(Service::udp(53).server(Server::translated(12).port(5353)));
    (bench, web, dns)
}

/// What NAT makes of a client's packet.
fn translated(packet: &Packet, to: SocketAddrV4) -> Packet {
    packet
        .clone()
        .aged()
        .hop(DIRECTOR, server_mac(to.ip().octets()[3]))
        .sent_to(to)
}

/// What NAT makes of a server's packet, where the client's next hop is [`ROUTER`].
fn answered(reply: &Packet, from: SocketAddrV4) -> Packet {
    reply.clone().aged().hop(DIRECTOR, ROUTER).sent_from(from)
}

/// A server's UDP answer.
fn datagram_back(from: SocketAddrV4, to: SocketAddrV4) -> Packet {
    Packet::udp(from, to).hop(SERVER_SIDE, DIRECTOR)
}

#[test]
fn a_tcp_connection_is_translated_both_ways() {
    let (mut bench, web, _) = bench();
    let real = server(11, 8080);
    for (from_server, flags, payload) in [
        (false, SYN, &b""[..]),
        (true, SYN | ACK, b""),
        (false, ACK, b""),
        (false, PSH | ACK, b"GET / HTTP/1.1\r\n\r\n"),
        (true, PSH | ACK, b"HTTP/1.1 204 No Content\r\n\r"), // odd
        (true, FIN | ACK, b""),
        (false, FIN | ACK, b"x"),
        (true, RST, b""),
    ] {
        if from_server {
            let packet = answer(real, CLIENT, flags).payload(payload);
            assert_sent(&mut bench, &packet, &answered(&packet, web.address));
        } else {
            let packet = segment(&web, flags).payload(payload);
            assert_sent(&mut bench, &packet, &translated(&packet, real));
        }
    }
}

#[test]
fn a_udp_exchange_is_translated_both_ways() {
    let (mut bench, _, dns) = bench();
    let real = server(12, 5353);
    for payload in [&b""[..], b"q", b"qu", b"question"] {
        let packet = Packet::udp(CLIENT, dns.address).payload(payload);
        assert_sent(&mut bench, &packet, &translated(&packet, real));
        let packet = datagram_back(real, CLIENT).payload(payload);
        assert_sent(&mut bench, &packet, &answered(&packet, dns.address));
    }
}

#[test]
fn ip_options_move_the_ports_but_not_the_outcome() {
    let (mut bench, web, dns) = bench();
    for words in 0..=10 {
        let options = &[0x01; 40][..4 * words];
        let packet = segment(&web, SYN).options(options).padding(&[0xEE; 6]);
        assert_sent(&mut bench, &packet, &translated(&packet, server(11, 8080)));
        let packet = answer(server(11, 8080), CLIENT, ACK).options(options);
        assert_sent(&mut bench, &packet, &answered(&packet, web.address));
        let packet = Packet::udp(CLIENT, dns.address).options(options);
        assert_sent(&mut bench, &packet, &translated(&packet, server(12, 5353)));
        let packet = datagram_back(server(12, 5353), CLIENT).options(options);
        assert_sent(&mut bench, &packet, &answered(&packet, dns.address));
    }
}

#[test]
fn no_udp_checksum_stays_none() {
    let (mut bench, _, dns) = bench();
    let packet = Packet::udp(CLIENT, dns.address).unchecked();
    assert_sent(&mut bench, &packet, &translated(&packet, server(12, 5353)));
    let packet = datagram_back(server(12, 5353), CLIENT).unchecked();
    assert_sent(&mut bench, &packet, &answered(&packet, dns.address));
}

/// Where the checksum stands in a frame without IP options.
fn checksum(frame: &[u8]) -> u16 {
    let transport = ETHERNET + 20;
    let field = match frame[ETHERNET + 9] {
        6 => transport + 16,
        _ => transport + 6,
    };
    u16::from_be_bytes([frame[field], frame[field + 1]])
}

/// Varies two bytes of payload until what the packet becomes has this checksum.
fn with_checksum(packet: &Packet, becomes: impl Fn(&Packet) -> Packet, wanted: u16) -> Packet {
    (0..=u16::MAX)
        .map(|word| packet.clone().payload(&word.to_be_bytes()))
        .find(|packet| checksum(&becomes(packet).frame()) == wanted)
        .expect("a payload that makes the sum come out so")
}

#[test]
fn a_udp_checksum_that_becomes_zero_is_sent_as_all_ones() {
    let (mut bench, _, dns) = bench();
    let real = server(12, 5353);
    let there = |packet: &Packet| translated(packet, real);
    let packet = with_checksum(&Packet::udp(CLIENT, dns.address), there, 0xFFFF);
    assert_sent(&mut bench, &packet, &there(&packet));
    let back = |packet: &Packet| answered(packet, dns.address);
    let packet = with_checksum(&datagram_back(real, CLIENT), back, 0xFFFF);
    assert_sent(&mut bench, &packet, &back(&packet));
}

#[test]
fn a_udp_checksum_of_all_ones_becomes_what_it_should_be() {
    let (mut bench, _, dns) = bench();
    let real = server(12, 5353);
    let packet = with_checksum(&Packet::udp(CLIENT, dns.address), Packet::clone, 0xFFFF);
    assert_sent(&mut bench, &packet, &translated(&packet, real));
    let packet = with_checksum(&datagram_back(real, CLIENT), Packet::clone, 0xFFFF);
    assert_sent(&mut bench, &packet, &answered(&packet, dns.address));
}

#[test]
fn a_tcp_checksum_of_zero_is_one_like_any_other() {
    let (mut bench, web, _) = bench();
    open(&mut bench, CLIENT, web.address);
    let real = server(11, 8080);
    let there = |packet: &Packet| translated(packet, real);
    let packet = with_checksum(&segment(&web, ACK), there, 0);
    assert_sent(&mut bench, &packet, &there(&packet));
    let packet = with_checksum(&segment(&web, ACK), Packet::clone, 0);
    assert_sent(&mut bench, &packet, &there(&packet));
}

#[test]
fn a_wrong_transport_checksum_stays_wrong() {
    let (mut bench, web, _) = bench();
    let mut frame = segment(&web, SYN).payload(b"data").frame();
    let last = frame.len() - 1;
    frame[last] ^= 1;
    let outcome = bench.send_frame(&frame);
    assert_eq!(outcome.verdict, Verdict::Transmit);
    let read = Packet::read(&outcome.frame).expect("a readable frame");
    assert_ne!(read.frame(), outcome.frame);
}

#[test]
fn without_port_mapping_ports_stay() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let packet = segment(&web, SYN);
    assert_sent(&mut bench, &packet, &translated(&packet, server(11, 80)));
    let packet = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_sent(&mut bench, &packet, &answered(&packet, web.address));
}

/// A client's packet to a service, and one of the same protocol from a server to the client;
/// the three are different hosts.
fn exchange() -> impl Strategy<Value = (Packet, Packet)> {
    (strategies::packet(), strategies::packet())
        .prop_map(|(packet, mut reply)| {
            if reply.ip.protocol != packet.ip.protocol {
                reply.ip.protocol = packet.ip.protocol;
                let from = reply.source();
                reply.transport = packet.transport.clone();
                reply = reply.sent_from(from);
            }
            let reply = reply.sent_to(packet.source()).hop(SERVER_SIDE, DIRECTOR);
            (packet, reply)
        })
        .prop_filter("three hosts", |(packet, reply)| {
            let [client, service] = [packet.source(), packet.destination()];
            let server = reply.source();
            client.ip() != service.ip() && client.ip() != server.ip() && service.ip() != server.ip()
        })
}

#[test]
fn any_packet_is_translated_there_and_back() {
    let mut bench = Bench::new();
    for_all(300, exchange(), |(packet, reply)| {
        bench.reset();
        let (service, real) = (packet.destination(), reply.source());
        let server = Server::translated(11).at(*real.ip()).port(real.port());
        bench.serve(strategies::service_of(&packet).server(server));
        let there = |packet: &Packet| {
            packet
                .clone()
                .aged()
                .hop(DIRECTOR, server_mac(11))
                .sent_to(real)
        };
        let opener = strategies::opener(&packet);
        assert_sent(&mut bench, &opener, &there(&opener));
        assert_sent(&mut bench, &packet, &there(&packet));
        assert_sent(&mut bench, &reply, &answered(&reply, service));
        let _ = bench.table();
    });
}

#[test]
fn each_client_gets_the_answers_to_its_own_questions() {
    let (mut bench, web) = bench_with([Server::translated(11), Server::translated(12)]);
    let name_of = |number: u16| if number.is_multiple_of(2) { 12 } else { 11 };
    for number in 0..20 {
        open(&mut bench, client(number), web.address);
    }
    for number in 0..20 {
        let packet = answer(server(name_of(number), 80), client(number), SYN | ACK);
        assert_sent(&mut bench, &packet, &answered(&packet, web.address));
        let other = answer(server(23 - name_of(number), 80), client(number), SYN | ACK);
        assert_untouched(&mut bench, "the other server", &other.frame());
    }
}

#[test]
fn a_reply_goes_back_to_the_hop_that_the_syn_came_from() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    for (number, hop) in [(1, [2, 0, 0, 0, 7, 1]), (2, [2, 0, 0, 0, 7, 2])] {
        let syn = segment(&web, SYN).sent_from(client(number));
        let _ = bench.send(&syn.hop(hop, DIRECTOR));
        // Later packets by another way change nothing.
        let ack = segment(&web, ACK).sent_from(client(number));
        let _ = bench.send(&ack.hop([2, 0, 0, 0, 7, 3], DIRECTOR));
        let reply = answer(server(11, 80), client(number), SYN | ACK);
        assert_eq!(bench.send(&reply).packet().to, hop);
    }
}

/// Makes this thread's network namespace a router with the client's network behind an
/// interface; gives the interface's index.
fn route_to_clients(bench: &mut Bench, its_mac: [u8; 6], neighbour: &str) -> u32 {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the sysctl ip_forward");
    let out = add_interface("out");
    for command in [
        "link set lo up",
        "link set out up",
        "link set out-peer up",
        "addr add 10.3.0.1/24 dev out",
        "route add 10.1.0.0/16 via 10.3.0.254",
    ] {
        ip(command);
    }
    ip(&format!(
        "neigh add 10.3.0.254 lladdr {neighbour} dev out nud permanent"
    ));
    bench.plug(out, its_mac);
    out
}

#[test]
fn a_reply_takes_the_kernels_route_to_the_client_where_there_is_one() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let its_mac = [0x02, 0, 0, 0, 0, 0x42];
    let out = route_to_clients(&mut bench, its_mac, "02:00:00:00:00:43");
    open(&mut bench, CLIENT, web.address);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    let outcome = bench.send(&reply);
    assert_eq!(outcome.verdict, Verdict::Redirect);
    let expected = |neighbour| {
        let hop = [0x02, 0, 0, 0, 0, neighbour];
        reply
            .clone()
            .aged()
            .hop(its_mac, hop)
            .sent_from(web.address)
    };
    assert_eq!(outcome.packet(), expected(0x43));
    assert_eq!(u32::from(bench.table().reverses[0].place), out);

    // The neighbour is another machine now: noticed as soon as somebody says so, once.
    ip("neigh replace 10.3.0.254 lladdr 02:00:00:00:00:44 dev out nud permanent");
    assert_eq!(bench.send(&reply).packet(), expected(0x43));
    bench.routes_changed();
    assert_eq!(bench.send(&reply).packet(), expected(0x44));
    ip("neigh replace 10.3.0.254 lladdr 02:00:00:00:00:45 dev out nud permanent");
    assert_eq!(bench.send(&reply).packet(), expected(0x44));
}

#[test]
fn the_next_hop_to_a_client_is_noted_whether_its_mac_address_is_known_or_not() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let out = route_to_clients(&mut bench, [0x02, 0, 0, 0, 0, 0x42], "02:00:00:00:00:43");
    assert!(bench.client_hops().is_empty());
    open(&mut bench, CLIENT, web.address);
    let router = Ipv4Addr::new(10, 3, 0, 254);
    assert_eq!(bench.client_hops(), [(out, router)]);

    // Another router, by a rule for what comes from the service: nobody knows it.
    for command in [
        "route add 10.1.0.0/16 via 10.3.0.253 table 77",
        "rule add from 10.9.9.9 table 77",
    ] {
        ip(command);
    }
    open(&mut bench, client(5), web.address);
    let mut hops = bench.client_hops();
    hops.sort();
    assert_eq!(hops, [(out, Ipv4Addr::new(10, 3, 0, 253)), (out, router)]);
}

#[test]
fn a_route_that_goes_away_leaves_replies_where_they_went() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let its_mac = [0x02, 0, 0, 0, 0, 0x42];
    let out = route_to_clients(&mut bench, its_mac, "02:00:00:00:00:43");
    assert_eq!(if_nametoindex("out"), Ok(out));
    open(&mut bench, CLIENT, web.address);
    ip("route del 10.1.0.0/16");
    bench.routes_changed();
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_eq!(bench.send(&reply).packet().to, [0x02, 0, 0, 0, 0, 0x43]);
    let reverse = bench.table().reverses.remove(0);
    assert_ne!(u32::from(reverse.place), INGRESS);
}

/// Two services that one server answers for on the same port: what it sends to a client's
/// port does not tell which of them is meant.
fn colliding() -> (Bench, Served, Served) {
    let mut bench = Bench::new();
    let one = bench.serve(Service::tcp(80).server(Server::translated(11).port(8080)));
    let two = bench.serve(Service::tcp(81).server(Server::translated(11).port(8080)));
    (bench, one, two)
}

#[test]
fn of_two_half_open_connections_with_the_same_replies_the_newest_gets_them() {
    let (mut bench, one, two) = colliding();
    let reply = answer(server(11, 8080), CLIENT, SYN | ACK);
    open(&mut bench, CLIENT, one.address);
    assert_sent(&mut bench, &reply, &answered(&reply, one.address));
    open(&mut bench, CLIENT, two.address);
    assert_sent(&mut bench, &reply, &answered(&reply, two.address));
    let table = bench.table();
    assert_eq!((table.connections.len(), table.reverses.len()), (2, 1));
    // The older one's second SYN still reaches its server, without taking anything back.
    let _ = bench.send(&segment(&one, SYN));
    assert_sent(&mut bench, &reply, &answered(&reply, two.address));
}

/// Fails unless the packet opens nothing, because another connection gets the replies.
#[track_caller]
fn assert_refused(bench: &mut Bench, packet: &Packet) {
    let connections = bench.table().connections.len();
    let outcome = bench.send(packet);
    assert_eq!(outcome.verdict, Verdict::Answer(Drop::SameReplies));
    assert_eq!(bench.table().connections.len(), connections);
}

#[test]
fn an_established_connection_keeps_its_replies() {
    let real = server(11, 8080);
    let reply = answer(real, CLIENT, ACK);
    type Exchange<'a> = &'a [(bool, u8)];
    let (from_client, from_server) = (false, true);
    // Just established; with replies; half closed by either side.
    let exchanges: [Exchange<'_>; 4] = [
        &[],
        &[(from_server, ACK), (from_client, ACK)],
        &[(from_server, ACK), (from_client, FIN | ACK)],
        &[(from_server, FIN | ACK)],
    ];
    for exchange in exchanges {
        let (mut bench, one, two) = colliding();
        open(&mut bench, CLIENT, one.address);
        let handshake = [(from_server, SYN | ACK), (from_client, ACK)];
        for &(from_server, flags) in handshake.iter().chain(exchange) {
            let packet = match from_server {
                true => answer(real, CLIENT, flags),
                false => segment(&one, flags),
            };
            assert_eq!(bench.send(&packet).verdict, Verdict::Transmit);
        }
        for _ in 0..3 {
            assert_refused(&mut bench, &segment(&two, SYN));
            assert_sent(&mut bench, &reply, &answered(&reply, one.address));
        }
        assert_eq!(bench.traffic(two.servers[0]).connections, 0);
        assert_eq!(bench.load(two.servers[0]), (0, 0));
        // From another port there is no such trouble.
        open(&mut bench, client(9), two.address);
        // Once it is reset, or has expired, it needs them no more.
        let _ = bench.send(&segment(&one, RST));
        open(&mut bench, CLIENT, two.address);
        assert_sent(&mut bench, &reply, &answered(&reply, two.address));
    }
}

#[test]
fn an_expired_connection_does_not_keep_its_replies() {
    let (mut bench, one, two) = colliding();
    open(&mut bench, CLIENT, one.address);
    let _ = bench.send(&segment(&one, ACK));
    let older = bench.table().connections.remove(0);
    bench.age(&older, 901);
    open(&mut bench, CLIENT, two.address);
    let reply = answer(server(11, 8080), CLIENT, ACK);
    assert_sent(&mut bench, &reply, &answered(&reply, two.address));
}

#[test]
fn a_udp_connection_keeps_its_replies_while_it_lives() {
    let mut bench = Bench::new();
    let one = bench.serve(Service::udp(53).server(Server::translated(11).port(5353)));
    let two = bench.serve(Service::udp(54).server(Server::translated(11).port(5353)));
    let question = |served: &Served| Packet::udp(CLIENT, served.address);
    let reply = datagram_back(server(11, 5353), CLIENT);
    for _ in 0..2 {
        assert_eq!(bench.send(&question(&one)).verdict, Verdict::Transmit);
        assert_refused(&mut bench, &question(&two));
        assert_sent(&mut bench, &reply, &answered(&reply, one.address));
    }
    let older = bench.table().connections.remove(0);
    bench.age(&older, 301);
    assert_eq!(bench.send(&question(&two)).verdict, Verdict::Transmit);
    assert_sent(&mut bench, &reply, &answered(&reply, two.address));
}

#[test]
fn the_older_one_ends_without_taking_the_newer_ones_replies_away() {
    let (mut bench, one, two) = colliding();
    open(&mut bench, CLIENT, one.address);
    open(&mut bench, CLIENT, two.address);
    let older = bench
        .table()
        .find(CLIENT, one.address)
        .expect("it was opened")
        .clone();
    bench.age(&older, 60);
    assert_untouched(&mut bench, "an ACK too late", &segment(&one, ACK).frame());
    let table = bench.table();
    assert_eq!((table.connections.len(), table.reverses.len()), (1, 1));
    let reply = answer(server(11, 8080), CLIENT, ACK);
    assert_sent(&mut bench, &reply, &answered(&reply, two.address));
}

#[test]
fn the_newer_one_ends_with_its_replies_and_the_older_one_may_open_again() {
    let (mut bench, one, two) = colliding();
    open(&mut bench, CLIENT, one.address);
    open(&mut bench, CLIENT, two.address);
    let newer = bench
        .table()
        .find(CLIENT, two.address)
        .expect("it was opened")
        .clone();
    bench.age(&newer, 60);
    assert_untouched(&mut bench, "an ACK too late", &segment(&two, ACK).frame());
    let reply = answer(server(11, 8080), CLIENT, ACK);
    assert_untouched(&mut bench, "a reply to nobody", &reply.frame());
    let table = bench.table();
    assert_eq!((table.connections.len(), table.reverses.len()), (1, 0));
    // RST, then a new SYN from the same port.
    let _ = bench.send(&segment(&one, ACK));
    let _ = bench.send(&segment(&one, RST));
    open(&mut bench, CLIENT, one.address);
    assert_sent(&mut bench, &reply, &answered(&reply, one.address));
    let table = bench.table();
    assert_eq!((table.connections.len(), table.reverses.len()), (1, 1));
}

#[test]
fn a_reverse_entry_never_takes_the_place_of_a_connection() {
    // The server itself is a client of the service, from the port that it serves on; and
    // somebody pretends to be the service, so that the replies to it would look the same.
    let (mut bench, web) = bench_with([Server::direct(12), Server::translated(11)]);
    let impostor = web.address;
    let _ = bench.send(&Packet::tcp(client(1), web.address, SYN)); // the first turn is 11's
    open(&mut bench, server(11, 80), web.address); // this one 12's
    let before = bench.table();
    let _ = bench.send(&Packet::tcp(impostor, web.address, SYN)); // and this one 11's
    let after = bench.table();
    let kept = after.find(server(11, 80), vip(80));
    assert_eq!(
        kept,
        before.find(server(11, 80), vip(80)),
        "the server's own connection"
    );
}

#[test]
fn a_reply_after_the_connection_expired_passes() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    open(&mut bench, CLIENT, web.address);
    let connection = bench.table().connections.remove(0);
    bench.age(&connection, 60);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_untouched(&mut bench, "a reply too late", &reply.frame());
    assert_eq!(bench.traffic(web.servers[0]).out_packets, 0);
}

#[test]
fn a_reply_keeps_the_connection_alive() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    open(&mut bench, CLIENT, web.address);
    let connection = bench.table().connections.remove(0);
    bench.age(&connection, 50);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_eq!(bench.send(&reply).verdict, Verdict::Transmit);
    let stamp = bench.table().connections[0].stamp;
    assert!(bench.now() - stamp < bench.ticks(1), "within a second");
}

#[test]
fn replies_of_a_removed_server_are_still_translated() {
    // As IPVS does: the client may as well have them.
    let (mut bench, web) = bench_with([Server::translated(11)]);
    open(&mut bench, CLIENT, web.address);
    bench.remove_server(web.servers[0]);
    let counted = bench.traffic(web.servers[0]);
    let reply = answer(server(11, 80), CLIENT, SYN | ACK);
    assert_sent(&mut bench, &reply, &answered(&reply, web.address));
    assert_eq!(
        bench.traffic(web.servers[0]),
        counted,
        "IPVS counts none of them"
    );
}

/// A connection that is established, and whose replies have settled.
fn settled(bench: &mut Bench, web: &Served) -> Connection {
    let real = server(11, 80);
    let exchange = [
        segment(web, SYN),
        answer(real, CLIENT, SYN | ACK),
        segment(web, ACK),
        answer(real, CLIENT, ACK),
        answer(real, CLIENT, PSH | ACK).payload(b"data"),
    ];
    for packet in exchange {
        assert_eq!(bench.send(&packet).verdict, Verdict::Transmit);
    }
    bench.table().connections.remove(0)
}

#[test]
fn replies_alone_keep_an_established_connection_alive() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let connection = settled(&mut bench, &web);
    // As if the client had been silent for longer than the timeout, but the server had not.
    let long_ago = bench.now().wrapping_sub(bench.ticks(901));
    bench.stamp(connection.slot, long_ago);
    let reply = answer(server(11, 80), CLIENT, ACK);
    assert_eq!(bench.send(&reply).verdict, Verdict::Transmit);
    assert_eq!(bench.send(&segment(&web, ACK)).verdict, Verdict::Transmit);
    assert_eq!(bench.traffic(web.servers[0]).connections, 1);

    bench.age(&bench.table().connections.remove(0), 900);
    assert_untouched(&mut bench, "both silent", &segment(&web, ACK).frame());
    assert_untouched(&mut bench, "and over", &reply.frame());
}

#[test]
fn the_client_alone_keeps_it_alive_as_well() {
    let (mut bench, web) = bench_with([Server::translated(11)]);
    let connection = settled(&mut bench, &web);
    let long_ago = bench.now().wrapping_sub(bench.ticks(901));
    bench.stamp(connection.reverse.expect("a reverse entry"), long_ago);
    let reply = answer(server(11, 80), CLIENT, ACK);
    assert_eq!(bench.send(&reply).verdict, Verdict::Transmit);
}

#[test]
fn a_connection_that_only_its_server_uses_is_not_given_up() {
    let mut bench = Bench::with_buckets(1);
    let web = bench.serve(Service::tcp(80).server(Server::translated(11)));
    let half_open = bench.serve(Service::tcp(81).server(Server::direct(12)));
    let connection = settled(&mut bench, &web);
    let long_ago = bench.now().wrapping_sub(bench.ticks(901));
    bench.stamp(connection.slot, long_ago);
    for port in 1..20 {
        let source = SocketAddrV4::new(*CLIENT.ip(), port);
        let packet = Packet::tcp(source, half_open.address, SYN);
        assert_eq!(bench.send(&packet).verdict, Verdict::Transmit);
    }
    assert_eq!(bench.send(&segment(&web, ACK)).verdict, Verdict::Transmit);
    assert_eq!(bench.traffic(web.servers[0]).connections, 1);
}

#[test]
fn whoever_closes_a_settled_connection_it_closes() {
    let real = server(11, 80);
    let replies = |flags| move |_: &Served| answer(real, CLIENT, flags);
    let client = |flags| move |web: &Served| segment(web, flags);
    type Step<'a> = (&'a dyn Fn(&Served) -> Packet, TcpState);
    use TcpState::{Close, CloseWait, FinWait, TimeWait};
    let (fin, acknowledged, reset) = (FIN | ACK, ACK, RST);
    let closings: [&[Step<'_>]; 4] = [
        &[
            (&client(fin), CloseWait),
            (&replies(acknowledged), CloseWait),
            (&replies(fin), TimeWait),
        ],
        &[
            (&replies(fin), FinWait),
            (&client(acknowledged), FinWait),
            (&replies(acknowledged), FinWait),
            (&client(fin), TimeWait),
        ],
        &[(&client(reset), Close), (&replies(acknowledged), Close)],
        &[(&replies(reset), Close)],
    ];
    for closing in closings {
        let (mut bench, web) = bench_with([Server::translated(11)]);
        let _ = settled(&mut bench, &web);
        for (packet, state) in closing {
            assert_eq!(bench.send(&packet(&web)).verdict, Verdict::Transmit);
            assert_eq!(bench.table().connections[0].state, *state as u8);
        }
    }
}
