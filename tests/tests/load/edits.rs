//! Servers and services are added, changed, drained, removed and added again, under load.

use std::net::SocketAddr;

use lb_lab::wait::wait_until;
use lb_tests::{
    labs::load::{Configuration, service, targets},
    tables::Counters,
};

use crate::field::{Field, recount};

const METHODS: [&str; 3] = ["dr", "nat", "tun"];

#[test]
fn an_edit_of_one_server_moves_no_connection_of_another() {
    let mut field = Field::new();
    edit(&field, "add", 3, &["--weight", "2"]);
    field.check_soon(&wanted([(1, 1), (2, 1), (3, 2)]));
    edit(&field, "set", 1, &["--weight", "3"]);
    field.check_soon(&wanted([(1, 3), (2, 1), (3, 2)]));
    edit(&field, "drain", 2, &[]);
    field.check_soon(&wanted([(1, 3), (2, 0), (3, 2)]));
    edit(&field, "set", 2, &["--weight", "1"]);
    field.check_soon(&wanted([(1, 3), (2, 1), (3, 2)]));
    edit(&field, "drain", 3, &[]);
    field.load.let_visitors_change().unwrap();
    edit(&field, "del", 3, &[]);
    field.check(&wanted([(1, 3), (2, 1)]));

    // A server with hundreds of connections.
    let before = counts(&field, 1);
    edit(&field, "del", 1, &[]);
    let gone = METHODS.map(|method| format!("{method}1"));
    let gone = gone.each_ref().map(String::as_str);
    drops_packets_of_servers_that_are_gone(&field);
    field.load.everybody_speaks_but(&gone).unwrap();
    field.wait_for_losses(|host| host != "client" && !gone.contains(&host));
    assert!(field.load.tallies().all(|tally| lost_only_by(&gone, tally)));

    // Added again, it has its connections back at once.
    edit(&field, "add", 1, &["--weight", "1"]);
    for (tally, (now, before)) in field
        .load
        .tallies()
        .zip(counts(&field, 1).iter().zip(&before))
    {
        let lasting = tally.lasting_on(&format!("{}1", tally.name())) as u64;
        assert!(lasting > 0 && before.active >= lasting);
        assert!(now.active >= lasting, "{now:?} after {before:?}");
    }
    field.load.everybody_speaks().unwrap();
    field.end();
}

#[test]
fn a_service_that_is_deleted_and_added_again_has_its_connections_again() {
    let field = Field::new();
    for deleted in [&["dr", "tun"][..], &["nat"]] {
        for target in deleted {
            // New connections would be refused.
            field.load.of(target).unwrap().shut().unwrap();
            let delete = ["service", "del", &service(target)];
            field.director.command(&delete).unwrap();
            assert!(refused(&field, target));
        }
        drops_packets_of_servers_that_are_gone(&field);
        let servers = deleted
            .iter()
            .flat_map(|target| [1, 2].map(|n| format!("{target}{n}")));
        let gone: Vec<_> = servers.collect();
        let gone: Vec<_> = gone.iter().map(String::as_str).collect();
        field.load.everybody_speaks_but(&gone).unwrap();

        let file = field.director.path("lb.yaml");
        field
            .director
            .command(&["apply", &file.to_string_lossy()])
            .unwrap();
        for target in deleted {
            let tally = field.load.of(target).unwrap();
            let stats = field.director.stats().unwrap();
            let servers = &stats.service(&service(target)).unwrap().servers;
            for (number, server) in (1..).zip(servers) {
                let lasting = tally.lasting_on(&format!("{target}{number}")) as u64;
                assert!(lasting > 0);
                assert_eq!(server.counters.active, lasting, "{server:?}");
            }
            tally.reopen();
        }
        field.load.everybody_speaks().unwrap();
    }
    let Field { load, director, .. } = field;
    load.end().unwrap();
    wait_until("servers count what is in the table", || recount(&director)).unwrap();
}

fn wanted(servers: impl Into<Vec<(u8, u32)>>) -> Configuration {
    let servers = servers.into();
    Configuration {
        servers: [servers.clone(), servers.clone(), servers],
        ..Configuration::default()
    }
}

/// Edits one server of each TCP service.
fn edit(field: &Field, verb: &str, number: u8, options: &[&str]) {
    let all = wanted([(number, 1)]).listing();
    for (method, (service, servers)) in METHODS.iter().zip(&all) {
        let (server, _) = &servers[0];
        let forward: &[&str] = if verb == "add" {
            &["--forward", method]
        } else {
            &[]
        };
        let command = [&["server", verb, service, server], options, forward].concat();
        field.director.command(&command).unwrap();
    }
}

/// The counters of one server of each TCP service.
fn counts(field: &Field, number: u8) -> Vec<Counters> {
    let stats = field.director.stats().unwrap();
    let all = wanted([(number, 1)]).listing();
    let counts = all.iter().map(|(service, servers)| {
        let (server, _) = &servers[0];
        let row = stats.service(service).unwrap().server(server);
        row.unwrap().counters
    });
    counts.collect()
}

/// As IPVS with `expire_nodest_conn=0`: the client is not told.
fn drops_packets_of_servers_that_are_gone(field: &Field) {
    let before = dropped(field);
    wait_until("packets of servers that are gone are dropped", || {
        anyhow::ensure!(dropped(field) > before, "not yet");
        Ok(())
    })
    .unwrap();
}

fn dropped(field: &Field) -> u64 {
    let drops = field.director.stats().unwrap().drops;
    let row = drops.iter().find(|row| row.reason == "server_gone");
    row.unwrap().packets
}

fn lost_only_by(servers: &[&str], tally: &lb_tests::load::Tally) -> bool {
    let lost = tally.lost();
    lost.keys().all(|server| servers.contains(&server.as_str()))
}

/// The director's own network stack answers: no program listens there.
fn refused(field: &Field, target: &str) -> bool {
    let target = targets().into_iter().find(|t| t.name == target).unwrap();
    let service: SocketAddr = target.tcp;
    let client = field.lab.client("client", &service.to_string()).unwrap();
    let error = client.connect().map(drop).unwrap_err();
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}
