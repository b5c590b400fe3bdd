use lb_lab::{
    capture::{Capture, Kind},
    lab::Lab,
};
use lb_tests::{
    director::Director,
    labs::l2_nat_port_mapping::{CONFIGURATION, SERVICE, UDP_SERVICE, topology},
};

#[test]
fn the_client_of_a_mapped_port_sees_only_the_service() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut capture = lab.capture("client", "eth0").unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut servers = client.servers(4).unwrap();
    assert_eq!(servers[..2], servers[2..]);
    servers.sort();
    servers.dedup();
    assert_eq!(servers, ["web2", "web3"]);
    assert_eq!(peers(&mut capture), [SERVICE]);
}

#[test]
fn the_server_of_a_mapped_port_sees_the_client() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut connection = client.connect().unwrap();
    let own = connection.local().to_string();
    assert_eq!(connection.get("/client").unwrap().body, own.as_bytes());
}

#[test]
fn datagrams_are_mapped_and_a_source_port_keeps_its_server() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut capture = lab.capture("client", "eth0").unwrap();
    let client = lab.client("client", UDP_SERVICE).unwrap();
    let first = client.ask(5001, "first").unwrap();
    let second = client.ask(5002, "second").unwrap();
    let mut answers = [first.as_str(), second.as_str()];
    answers.sort_unstable_by_key(|answer| answer.split(' ').next());
    let names = answers.map(|answer| answer.split(':').next().unwrap_or_default());
    assert_eq!(names, ["web2", "web3"]);
    let server = first.strip_suffix("first").unwrap();
    assert_eq!(client.ask(5001, "again").unwrap(), format!("{server}again"));
    assert_eq!(peers(&mut capture), [UDP_SERVICE]);
}

/// The peers' addresses and ports in a client's packets.
fn peers(capture: &mut Capture) -> Vec<String> {
    let packets = capture.packets().unwrap().iter();
    let mut peers: Vec<_> = packets
        .filter_map(|packet| match packet.kind {
            Kind::Ip(ip) if packet.sent => Some((ip.destination, ip.destination_port)),
            Kind::Ip(ip) => Some((ip.source, ip.source_port)),
            _ => None,
        })
        .map(|(address, port)| format!("{address}:{port}"))
        .collect();
    peers.sort();
    peers.dedup();
    peers
}
