use std::{collections::BTreeMap, net::Ipv4Addr};

use lb_lab::{
    capture::{Kind, Tally},
    client::tally,
    lab::Lab,
};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, UDP_SERVICE, topology},
};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 11);

#[test]
fn connections_split_two_to_one_and_replies_bypass_the_director() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut at_director = lab.capture_at_switch("director", "eth0").unwrap();
    let mut at_client = lab.capture("client", "eth0").unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let served = client.servers(12).unwrap();
    assert_eq!(tally(&served), BTreeMap::from([("web47", 8), ("web23", 4)]));

    let replies = at_client.tally(|sent, ip| !sent && ip.source == VIP);
    assert_ne!(replies.unwrap(), Tally::default());
    let passed = at_director.tally(|_, ip| ip.source == VIP).unwrap();
    assert_eq!(passed, Tally::default());
    let stats = director.stats().unwrap();
    let service = stats.service("tcp/192.168.100.11:80").unwrap();
    assert_eq!(service.counters.connections, 12);
    assert_eq!(service.counters.outward(), Tally::default());
}

#[test]
fn datagrams_split_two_to_one_and_answers_bypass_the_director() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut at_director = lab.capture_at_switch("director", "eth0").unwrap();
    let client = lab.client("client", UDP_SERVICE).unwrap();
    let ask = |port| client.ask(port, "?").unwrap().replace(": ?", "");
    let served: Vec<_> = (6001..=6012).map(ask).collect();
    assert_eq!(tally(&served), BTreeMap::from([("web47", 8), ("web23", 4)]));

    let passed = at_director.tally(|_, ip| ip.source == VIP).unwrap();
    assert_eq!(passed, Tally::default());
    let stats = director.stats().unwrap();
    let counters = stats.service("udp/192.168.100.11:53").unwrap().counters;
    assert_eq!((counters.connections, counters.active), (12, 0));
    assert_eq!(counters.outward(), Tally::default());
}

#[test]
fn only_the_director_answers_arp_for_the_vip() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut capture = lab.capture("client", "eth0").unwrap();
    lab.client("client", SERVICE).unwrap().servers(3).unwrap();
    let packets = capture.packets().unwrap().iter();
    let claims = packets.filter(|packet| packet.kind == Kind::ArpReply(VIP));
    let claims: Vec<_> = claims.map(|packet| packet.mac).collect();
    assert_eq!(claims, [lab.host("director").unwrap().mac("eth0").unwrap()]);
}
