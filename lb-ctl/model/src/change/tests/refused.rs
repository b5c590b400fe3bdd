//! What is refused, and why.

use super::{add, desired, made, patch, refused, set_server, set_service, web};
use crate::{
    change::{Change, ChangeError, End, Undo},
    desired::{Desired, Service},
    ids::ServiceId,
    options::{ServerOptions, ServiceOptions},
    refusal::Refusal,
    values::{Scheduler, Value},
};

#[test]
fn what_exists_is_not_added_and_what_does_not_exist_is_not_changed() {
    let id: ServiceId = "tcp/192.0.2.1:80".parse().unwrap();
    let again = Change::AddService {
        id,
        options: ServiceOptions::default(),
    };
    assert_eq!(refused(&again), ChangeError::ServiceExists(id));
    assert_eq!(refused(&again).refusal(), Refusal::Exists);
    let again = refused(&add("10.0.0.1", End::Tail));
    assert!(matches!(again, ChangeError::ServerExists(..)));
    let gone = Change::DeleteServer {
        service: web(),
        server: "10.0.0.9".parse().unwrap(),
    };
    assert_eq!(
        refused(&gone).to_string(),
        "no such server in service tcp/192.0.2.1:80: 10.0.0.9:80; \
         there are: 10.0.0.1:80, 10.0.0.2:80"
    );
    let gone = Change::DeleteService {
        service: "mail".parse().unwrap(),
    };
    assert_eq!(
        refused(&gone).to_string(),
        "no such service: mail; there are: tcp/192.0.2.1:80 (web), udp/192.0.2.1:53"
    );
    assert_eq!(refused(&gone).refusal(), Refusal::NoService);
}

#[test]
fn of_many_services_the_first_are_named_and_the_others_counted() {
    let services =
        (0..1000).map(|n| Service::new(format!("tcp/192.0.2.1:{}", n + 1).parse().unwrap()));
    let mut desired = Desired {
        services: services.collect(),
        ..Desired::default()
    };
    let gone = Change::DeleteService {
        service: "mail".parse().unwrap(),
    };
    let error = gone.make(&mut desired, &mut Undo::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("192.0.2.1:10 and 990 more"),
        "{error}"
    );
}

#[test]
fn changes_obey_the_rules_of_files() {
    let why = |change| refused(&change).to_string();
    assert!(why(add("10.0.0.3:8080", End::Head)).contains("only forward `nat`"));
    assert!(why(add("192.0.2.1", End::Head)).contains("own address"));
    let weight = refused(&set_server(&[("weight", "65536")]));
    assert!(weight.to_string().contains("from 0 to 65535"));
    assert_eq!(weight.refusal(), Refusal::OutOfRange);
    let limits = refused(&set_server(&[("lower", "5")]));
    assert_eq!(limits.refusal(), Refusal::OutOfRange);
    let limits = refused(&set_server(&[("upper", "5")]));
    assert_eq!(limits.refusal(), Refusal::NoOption);
    assert!(why(set_service(&[("scheduler", "sed")])).contains("does not support yet"));
}

#[test]
fn of_several_things_that_are_wrong_the_one_is_named_that_the_kernel_names() {
    use Refusal::{Exists, Invalid, NoFamily, NoOption, NoService, NotFound, OutOfRange};
    let add_service = |id: &str, words| Change::AddService {
        id: id.parse().unwrap(),
        options: {
            let mut options = ServiceOptions::default();
            patch::<ServiceOptions>(words).put(&mut options).unwrap();
            options
        },
    };
    let unknown = |id: &str| Change::AddService {
        id: id.parse().unwrap(),
        options: ServiceOptions {
            scheduler: Scheduler::named("nosuch"),
            persistence: Value::from_text("60s").unwrap(),
            ..ServiceOptions::default()
        },
    };
    let set = |server: &str, words| Change::SetServer {
        service: web(),
        server: server.parse().unwrap(),
        set: patch::<ServerOptions>(words),
    };
    let add = |server: &str, words| Change::AddServer {
        service: web(),
        server: server.parse().unwrap(),
        options: {
            let mut options = ServerOptions::default();
            patch::<ServerOptions>(words).put(&mut options).unwrap();
            options
        },
        end: End::Head,
    };
    let sip = &[("persistence", "60s"), ("persistence_engine", "sip")];
    let heavy = &[("weight", "65536"), ("upper", "0"), ("lower", "0")];
    let crossed = &[("weight", "1"), ("upper", "1"), ("lower", "2")];
    let limited = &[("weight", "1"), ("upper", "5"), ("lower", "0")];
    for (change, refusal) in [
        // A service that exists, then what it is, then the scheduler and the engine, then
        // other options, then the address.
        (unknown("tcp/192.0.2.1:80"), Exists),
        (unknown("tcp/[2001:db8::1]:80"), NoFamily),
        (unknown("mark/1"), NoOption),
        (unknown("tcp/224.0.0.1:80"), NotFound),
        (add_service("tcp/192.0.2.1:0", sip), NotFound),
        (add_service("tcp/192.0.2.1:0", &sip[..1]), NoOption),
        (add_service("tcp/224.0.0.1:80", &sip[..1]), NoOption),
        (add_service("tcp/224.0.0.1:80", &[]), Invalid),
        // A service's name is looked for before anything of it is judged.
        (
            Change::SetService {
                service: "mark/1".parse().unwrap(),
                set: patch::<ServiceOptions>(sip),
            },
            NoService,
        ),
        (set_service(sip), NotFound),
        // The range of numbers, then whether the server exists, then options, then the
        // address.
        (add("10.0.0.1", heavy), OutOfRange),
        (add("2001:db8::1", crossed), OutOfRange),
        (add("2001:db8::1", limited), NoFamily),
        (add("10.0.0.1", limited), Exists),
        (add("239.1.1.1", limited), NoOption),
        (add("239.1.1.1", &[]), Invalid),
        (set("10.0.0.9", heavy), OutOfRange),
        (set("10.0.0.9", crossed), OutOfRange),
        (set("10.0.0.9", limited), NotFound),
        (set("10.0.0.1", limited), NoOption),
        // The limits that a server has count, too, where not all are given: so it has to be
        // there.
        (set("10.0.0.9", &crossed[2..]), NotFound),
        (set("10.0.0.1", &crossed[2..]), OutOfRange),
    ] {
        assert_eq!(refused(&change).refusal(), refusal, "{change:?}");
    }
}

#[test]
fn a_name_belongs_to_one_service() {
    let taken = Change::SetService {
        service: "udp/192.0.2.1:53".parse().unwrap(),
        set: patch::<ServiceOptions>(&[("name", "web")]),
    };
    assert!(matches!(refused(&taken), ChangeError::NameTaken(..)));
    let same = made(&set_service(&[("name", "web")]));
    assert_eq!(same, desired());
    let away = made(&set_service(&[("name", "")]));
    assert!(away.services.find(&web()).is_none());
}
