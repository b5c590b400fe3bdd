//! A change is made, and travels. The directors and changes here serve the other tests, too.

mod refused;
mod undone;

use proptest::prelude::*;

use super::*;
use crate::{
    desired::{Server, Service},
    options::Timeouts,
    strategies,
    values::Method,
};

fn desired() -> Desired {
    let server = |id: &str, forward| Server {
        id: id.parse().unwrap(),
        options: ServerOptions {
            forward,
            ..ServerOptions::default()
        },
    };
    let mut web = Service::new("tcp/192.0.2.1:80".parse().unwrap());
    web.options.name = Some("web".parse().unwrap());
    web.servers = vec![
        server("10.0.0.1:80", None),
        server("10.0.0.2:80", Some(Method::Nat)),
    ];
    let dns = Service::new("udp/192.0.2.1:53".parse().unwrap());
    Desired {
        services: [web, dns].into_iter().collect(),
        ..Desired::default()
    }
}

fn web() -> ServiceRef {
    "web".parse().unwrap()
}

fn add(server: &str, end: End) -> Change {
    Change::AddServer {
        service: web(),
        server: server.parse().unwrap(),
        options: ServerOptions::default(),
        end,
    }
}

fn patch<T: crate::Options>(words: &[(&str, &str)]) -> Patch {
    let mut patch = Patch::default();
    for (key, word) in words {
        patch.word::<T>(key, word).unwrap();
    }
    patch
}

fn set_server(words: &[(&str, &str)]) -> Change {
    Change::SetServer {
        service: web(),
        server: "10.0.0.1".parse().unwrap(),
        set: patch::<ServerOptions>(words),
    }
}

fn set_service(words: &[(&str, &str)]) -> Change {
    Change::SetService {
        service: web(),
        set: patch::<ServiceOptions>(words),
    }
}

fn made(change: &Change) -> Desired {
    let mut desired = desired();
    change.make(&mut desired, &mut Undo::default()).unwrap();
    desired
}

fn refused(change: &Change) -> ChangeError {
    let mut after = desired();
    let error = change.make(&mut after, &mut Undo::default()).unwrap_err();
    assert_eq!(
        after,
        desired(),
        "{change:?} was refused and changed something"
    );
    error
}

fn servers(desired: &Desired) -> Vec<String> {
    let web = desired.services.find(&web()).unwrap();
    web.servers
        .iter()
        .map(|s| format!("{} {} {}", s.id, s.options.weight, web.method(s)))
        .collect()
}

#[test]
fn a_new_server_comes_first_or_last() {
    let first = |change| servers(&made(&change))[0].clone();
    assert_eq!(first(add("10.0.0.3", End::Head)), "10.0.0.3:80 1 dr");
    assert_eq!(first(add("10.0.0.3", End::Tail)), "10.0.0.1:80 1 dr");
}

#[test]
fn a_drained_server_keeps_its_place() {
    let drained = servers(&made(&set_server(&[("weight", "0")])));
    assert_eq!(drained, ["10.0.0.1:80 0 dr", "10.0.0.2:80 1 nat"]);
}

#[test]
fn servers_follow_their_service_to_another_method() {
    let moved = made(&set_service(&[("forward", "tun")]));
    assert_eq!(servers(&moved), ["10.0.0.1:80 1 tun", "10.0.0.2:80 1 nat"]);
    let mut mapped = made(&set_service(&[("forward", "nat")]));
    let undo = &mut Undo::default();
    add("10.0.0.3:8080", End::Tail)
        .make(&mut mapped, undo)
        .unwrap();
    let fault = set_service(&[("forward", "dr")]).make(&mut mapped, undo);
    let fault = fault.unwrap_err().to_string();
    assert!(fault.starts_with("server 10.0.0.3:8080: port 8080 is not the service's"));
}

#[test]
fn a_server_with_its_services_method_does_not_name_it() {
    let said = made(&set_server(&[("forward", "dr")]));
    assert_eq!(said, desired());
}

#[test]
fn timeouts_that_are_not_named_stay() {
    let set = patch::<Timeouts>(&[("udp", "30s")]);
    let timeouts = made(&Change::SetTimeouts { set }).timeouts;
    assert_eq!((timeouts.tcp.0, timeouts.udp.0), (900, 30));
}

#[test]
fn a_server_takes_few_bytes_on_the_socket() {
    let change = Change::AddServer {
        service: "tcp/10.200.100.100:80".parse().unwrap(),
        server: "10.200.200.200:80".parse().unwrap(),
        options: ServerOptions {
            forward: Some(Method::Tun),
            ..ServerOptions::default()
        },
        end: End::Head,
    };
    let json = serde_json::to_string(&change).unwrap();
    assert!(json.len() < 125, "{json}");
    assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
}

proptest! {
    #[test]
    fn changes_travel_as_json(change in strategies::change()) {
        let json = serde_json::to_string(&change).unwrap();
        prop_assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
    }
}
