use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use lb_lab::{client::tally, lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
};

#[test]
fn connections_split_as_the_weights_do_and_every_packet_is_counted_both_ways() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let mut at_client = lab.capture("client", "eth0").unwrap();
    let mut at_web39 = lab.capture("web39", "eth0").unwrap();
    let mut at_web23 = lab.capture("web23", "eth0").unwrap();

    let served = lab.client("client", SERVICE).unwrap().servers(25).unwrap();
    assert_eq!(
        tally(&served),
        BTreeMap::from([("web39", 10), ("web23", 15)])
    );

    wait_until("the director counts what client and servers count", || {
        let stats = director.stats()?;
        let service = stats.service("tcp/172.16.10.21:80")?;
        let web39 = service.server("192.168.100.39:80")?.counters;
        let web23 = service.server("192.168.100.23:80")?.counters;
        let service = service.counters;

        let requests = at_client.tally(|sent, ip| sent && ip.destination_port == 80)?;
        let replies = at_client.tally(|sent, ip| !sent && ip.source_port == 80)?;
        ensure!(
            service.inward() == requests,
            "{service:?}, sent {requests:?}"
        );
        ensure!(
            service.outward() == replies,
            "{service:?}, received {replies:?}"
        );

        for (server, capture) in [(web39, &mut at_web39), (web23, &mut at_web23)] {
            let requests = capture.tally(|sent, ip| !sent && ip.destination_port == 80)?;
            let replies = capture.tally(|sent, ip| sent && ip.source_port == 80)?;
            ensure!(
                server.inward() == requests,
                "{server:?}, received {requests:?}"
            );
            ensure!(server.outward() == replies, "{server:?}, sent {replies:?}");
        }

        ensure!(service.inward() == web39.inward() + web23.inward());
        ensure!(service.outward() == web39.outward() + web23.outward());
        ensure!(web39.connections == 10 && web39.inactive == 10, "{web39:?}");
        ensure!(web23.connections == 15 && web23.inactive == 15, "{web23:?}");
        ensure!(
            service.connections == 25 && service.active == 0,
            "{service:?}"
        );
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_client_that_the_routing_table_forbids_to_send_to_gets_no_replies() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let machine = lab.host("director").unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut before = client.connect().unwrap();
    before.get("/").unwrap();
    for kind in ["blackhole", "unreachable", "prohibit"] {
        let count = director.stats().unwrap().count("no_route");
        let route = format!("{kind} 172.16.10.22/32");
        machine.ip([format!("route add {route}")]).unwrap();
        wait_until(kind, || {
            let opened = client.connect_within(Duration::from_secs(1));
            ensure!(opened.is_err(), "it is served");
            let stats = director.stats()?;
            ensure!(stats.count("no_route") > count, "{:?}", stats.drops);
            let told = stats.troubles.iter().any(|it| it.contains("[no_route]"));
            ensure!(told, "{:?}", stats.troubles);
            Ok(())
        })
        .unwrap();
        machine.ip([format!("route del {route}")]).unwrap();
        wait_until("it is served again", || client.get("/")).unwrap();
        before.get("/").unwrap();
    }
}
