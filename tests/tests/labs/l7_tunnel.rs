use std::{collections::BTreeMap, net::Ipv4Addr};

use anyhow::ensure;
use lb_lab::{capture::Tally, client::tally, content, lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l7_tunnel::{CONFIGURATION, SERVICE, UDP_SERVICE, topology},
};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 11);
const IPIP: u8 = 4;

#[test]
fn requests_go_through_the_tunnel_and_replies_straight_to_the_client() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut at_director = lab.capture_at_switch("director", "eth0").unwrap();
    let served = lab.client("client", SERVICE).unwrap().servers(10).unwrap();
    assert_eq!(tally(&served), BTreeMap::from([("web2", 5), ("web3", 5)]));

    let passed = at_director.tally(|_, ip| ip.source == VIP).unwrap();
    assert_eq!(passed, Tally::default());
    wait_until(
        "every request went through the tunnel, and is counted",
        || {
            let requests = at_director.tally(|sent, ip| sent && ip.destination_port == 80)?;
            let tunnelled = at_director.tally(|sent, ip| !sent && ip.protocol == IPIP)?;
            let outer_headers = Tally {
                packets: 0,
                bytes: 20 * requests.packets,
            };
            ensure!(
                tunnelled == requests + outer_headers,
                "{tunnelled:?}, {requests:?}"
            );

            let stats = director.stats()?;
            let counters = stats.service("tcp/192.168.100.11:80")?.counters;
            ensure!(counters.inward() == requests, "{counters:?}, {requests:?}");
            ensure!(counters.outward() == Tally::default(), "{counters:?}");
            Ok(())
        },
    )
    .unwrap();
}

#[test]
fn datagrams_go_through_the_tunnel() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", UDP_SERVICE).unwrap();
    let ask = |port| client.ask(port, "?").unwrap().replace(": ?", "");
    let served: Vec<_> = (7001..=7006).map(ask).collect();
    assert_eq!(tally(&served), BTreeMap::from([("web2", 3), ("web3", 3)]));
}

/// With the outer header, a segment of full size is larger than the MTU. The director must tell the
/// client the tunnel's MTU by ICMP.
#[test]
fn uploads_of_full_segments_arrive_whole_through_the_tunnel() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let body = content::bytes(0, 300_000);
    let reply = client.connect().unwrap().post("/echo", body.clone());
    assert!(reply.unwrap().body == body);
}

#[test]
fn downloads_of_full_segments_arrive_whole() {
    let lab = Lab::realise(&topology()).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let download = client.connect().unwrap().download(2_000_000).unwrap();
    assert_eq!(download.finish().unwrap(), 2_000_000);
}
