use std::collections::BTreeMap;

use lb_lab::{capture::Tally, client::tally, content, lab::Lab};
use lb_tests::{
    director::Director,
    labs::mixed_methods::{CONFIGURATION, SERVICE, topology},
};

#[test]
fn servers_of_one_service_are_reached_in_three_ways() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let served = client.servers(9).unwrap();
    let thrice = BTreeMap::from([("direct", 3), ("translated", 3), ("tunnelled", 3)]);
    assert_eq!(tally(&served), thrice);

    let body = content::bytes(0, 100_000);
    for _ in 0..3 {
        let reply = client.connect().unwrap().post("/echo", body.clone());
        assert!(reply.unwrap().body == body);
    }

    let stats = director.stats().unwrap();
    let service = stats.service("tcp/172.16.10.21:80").unwrap();
    let outward = |server| service.server(server).unwrap().counters.outward();
    assert_eq!(outward("192.168.100.2:80"), Tally::default());
    assert_ne!(outward("192.168.100.3:8080"), Tally::default());
    assert_eq!(outward("10.20.0.4:80"), Tally::default());
}
