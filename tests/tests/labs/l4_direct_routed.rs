use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use lb_lab::{client::tally, lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l4_direct_routed::{CONFIGURATION, SERVICE, topology},
};

/// Longer than any answer takes here, but shorter than the first retransmission of a SYN.
const SHORT: Duration = Duration::from_millis(800);

#[test]
fn answers_die_on_a_router_that_filters_strictly_and_the_connection_list_shows_it() {
    let lab = Lab::realise(&topology(1)).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let attempts = (0..3).map(|_| client.connect_within(SHORT));
    let open: Vec<_> = attempts.filter_map(Result::ok).collect();
    assert_eq!(
        open.len(),
        1,
        "of three servers one is not behind the router"
    );

    let expected = BTreeMap::from([
        ("127.0.0.1:80".to_owned(), "ESTABLISHED".to_owned()),
        ("192.168.100.23:80".to_owned(), "SYN_RECV".to_owned()),
        ("192.168.100.47:80".to_owned(), "SYN_RECV".to_owned()),
    ]);
    wait_until("the connection list shows who is stuck", || {
        let rows = director.connections()?.into_iter();
        let states: BTreeMap<_, _> = rows.map(|row| (row.server, row.state)).collect();
        ensure!(states == expected, "{states:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn all_three_serve_when_the_router_filters_loosely() {
    let lab = Lab::realise(&topology(2)).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let served = lab.client("client", SERVICE).unwrap().servers(9).unwrap();
    let thrice = BTreeMap::from([("director", 3), ("web23", 3), ("web47", 3)]);
    assert_eq!(tally(&served), thrice);
}
