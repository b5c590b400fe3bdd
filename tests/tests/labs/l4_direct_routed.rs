use std::collections::BTreeMap;

use anyhow::ensure;
use lb_lab::{client::tally, lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l4_direct_routed::{CONFIGURATION, SERVICE, topology},
};

#[test]
fn answers_die_on_a_router_that_filters_strictly_and_the_connection_list_shows_it() {
    let lab = Lab::realise(&topology(1)).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let opening = [(); 3].map(|()| client.begin_to_connect().unwrap());
    let expected = BTreeMap::from([
        ("127.0.0.1:80".to_owned(), "ESTABLISHED".to_owned()),
        ("192.168.100.23:80".to_owned(), "SYN_RECV".to_owned()),
        ("192.168.100.47:80".to_owned(), "SYN_RECV".to_owned()),
    ]);
    wait_until("the connection list shows who is stuck", || {
        let states = director.states()?;
        ensure!(states == expected, "{states:?}");
        Ok(())
    })
    .unwrap();
    let open = opening.iter().filter(|socket| socket.peer_addr().is_ok());
    assert_eq!(
        open.count(),
        1,
        "of three servers one is not behind the router"
    );
}

#[test]
fn all_three_serve_when_the_router_filters_loosely() {
    let lab = Lab::realise(&topology(2)).unwrap();
    let _director = Director::start(&lab, CONFIGURATION).unwrap();
    let served = lab.client("client", SERVICE).unwrap().servers(9).unwrap();
    let thrice = BTreeMap::from([("director", 3), ("web23", 3), ("web47", 3)]);
    assert_eq!(tally(&served), thrice);
}
