//! What keeps packets from being served is said, and is over when it is over.

use anyhow::ensure;
use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l1_nat_weighted::{CONFIGURATION, SERVICE, topology},
};

#[test]
fn a_nat_server_whose_replies_go_another_way_is_told_until_they_come_back() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let server = lab.host("web39").unwrap();
    server.ip(["route del default"]).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    // Clients whose connections hang, as they would for ever.
    let mut hanging: Vec<_> = (0..5).map(|_| client.begin_to_connect().unwrap()).collect();
    let state = |director: &Director| {
        let service = director.stats()?.services.remove(0);
        let mut servers = service.servers.into_iter();
        let server = servers.find(|server| server.server == "192.168.100.39:80");
        anyhow::Ok(server.map(|server| server.state).unwrap_or_default())
    };
    wait_until("stats shows it", || {
        hanging.push(client.begin_to_connect()?);
        let state = state(&director)?;
        ensure!(state == "no replies", "{state}");
        Ok(())
    })
    .unwrap();
    let troubles = director.stats().unwrap().troubles;
    let [trouble] = &troubles[..] else {
        panic!("{troubles:?}");
    };
    assert!(trouble.contains("server 192.168.100.39:80"), "{trouble}");
    let log = director.log().unwrap();
    assert_eq!(log.matches(trouble).count(), 1, "{log}");

    server.ip(["route add default via 192.168.100.17"]).unwrap();
    wait_until("it is over", || {
        client.servers(5)?;
        let state = state(&director)?;
        ensure!(state == "up", "{state}");
        Ok(())
    })
    .unwrap();
    wait_until("the log says so", || {
        let log = director.log()?;
        ensure!(log.contains(&format!("over: {trouble}")), "{log}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn rules_that_packets_do_not_meet_are_named_at_start() {
    let lab = Lab::realise(&topology()).unwrap();
    let machine = lab.host("director").unwrap();
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    assert!(!director.log().unwrap().contains("netfilter"));
    let rules = "add table inet guard
        add chain inet guard incoming { type filter hook input priority 0; policy accept; }
        add rule inet guard incoming tcp dport 80 drop
        add chain inet guard outgoing { type filter hook output priority 0; policy drop; }
        add chain inet guard empty { type filter hook input priority 1; policy accept; }";
    for rule in rules.lines() {
        let status = machine.command("nft").arg(rule.trim()).status();
        assert!(status.unwrap().success(), "{rule}");
    }
    director.end(nix::sys::signal::Signal::SIGTERM).unwrap();
    director.run("lb.yaml").unwrap();
    let log = director.log().unwrap();
    assert!(log.contains("rules of netfilter (guard incoming)"), "{log}");
    lab.client("client", SERVICE).unwrap().servers(2).unwrap();
}
