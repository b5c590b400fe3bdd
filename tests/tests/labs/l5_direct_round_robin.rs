use std::collections::BTreeMap;

use anyhow::ensure;
use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l5_direct_round_robin::{CONFIGURATION, SERVICE, VIP, topology},
};

#[test]
fn connections_alternate_exactly_and_finished_ones_wait() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let served = lab.client("client", SERVICE).unwrap().servers(10).unwrap();
    let turns: Vec<_> = served.chunks(2).collect();
    assert!(
        turns.windows(2).all(|turns| turns[0] == turns[1]),
        "{served:?}"
    );
    assert_ne!(served[0], served[1]);

    wait_until("all connections are finished", || {
        let rows = director.connections()?;
        let finished = rows.iter().filter(|row| row.state == "FIN_WAIT");
        ensure!(finished.count() == 10 && rows.len() == 10, "{rows:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn connections_to_a_server_that_does_not_answer_stay_half_open() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let silent = lab.host("web136").unwrap();
    silent.ip([format!("address del {VIP}/32 dev lo")]).unwrap();

    let client = lab.client("client", SERVICE).unwrap();
    let opening = [(); 2].map(|()| client.begin_to_connect().unwrap());
    let expected = BTreeMap::from([
        ("192.168.160.135:80".to_owned(), "ESTABLISHED".to_owned()),
        ("192.168.160.136:80".to_owned(), "SYN_RECV".to_owned()),
    ]);
    wait_until("one connection is open", || {
        let states = director.states()?;
        ensure!(states == expected, "{states:?}");
        Ok(())
    })
    .unwrap();
    let open = opening.iter().filter(|socket| socket.peer_addr().is_ok());
    assert_eq!(open.count(), 1);
}
