//! A service comes back from map values as it was written.

use lb_common::{
    schedule::Scheduler as SchedulerNumber,
    server::Server as Entry,
    service::{Service as Value, ServiceKey},
};
use lb_model::{
    Scheduler, Server, ServerOptions, Service, ServiceId, ServiceOptions, strategies::desired,
};
use proptest::prelude::*;

use super::{number::method, *};

/// The service that maps say; `None` if that makes no sense.
fn service(
    id: ServiceId,
    value: &Value,
    servers: impl IntoIterator<Item = (Identity, u32)>,
) -> Option<Service> {
    let &Value {
        roster: _,
        servers: _,
        scheduler,
        forward,
        _flags: _,
        index: _,
        _room: _,
    } = value;
    let service = Service {
        id,
        options: ServiceOptions {
            scheduler: self::scheduler(scheduler)?,
            forward: method(forward)?,
            ..ServiceOptions::default()
        },
        servers: servers
            .into_iter()
            .map(|(identity, weight)| server(identity, weight))
            .collect(),
    };
    Some(service.normal())
}

/// The server that a roster says.
fn server(identity: Identity, weight: u32) -> Server {
    let Identity {
        service: _,
        server,
        method,
    } = identity;
    Server {
        id: server,
        options: ServerOptions {
            weight,
            forward: Some(method),
            ..ServerOptions::default()
        },
    }
}

fn scheduler(number: u8) -> Option<Scheduler> {
    Some(match SchedulerNumber::of_number(number)? {
        SchedulerNumber::Rr => Scheduler::Rr,
        SchedulerNumber::Wrr => Scheduler::Wrr,
        SchedulerNumber::Lc => Scheduler::Lc,
        SchedulerNumber::Wlc => Scheduler::Wlc,
    })
}

/// The service with the options that are in maps.
fn known(service: &Service) -> Service {
    let mut known = Service::new(service.id);
    known.options.scheduler = service.options.scheduler.clone();
    known.options.forward = service.options.forward;
    known.servers = service
        .servers
        .iter()
        .map(|server| Server {
            id: server.id,
            options: ServerOptions {
                weight: server.options.weight,
                forward: server.options.forward,
                ..ServerOptions::default()
            },
        })
        .collect();
    known
}

fn there_and_back(wanted: &Service) -> Option<Service> {
    let id = service_id(&key(wanted.id).ok()?)?;
    let servers = wanted.servers.iter().map(|server| {
        let (identity, weight) = roster_entry(wanted, server);
        let read = super::identity(&entry(&identity).ok()?)?;
        (read == identity).then_some((read, weight))
    });
    let servers: Vec<_> = servers.collect::<Option<_>>()?;
    service(id, &value(wanted).ok()?, servers)
}

proptest! {
    #[test]
    fn a_service_comes_back_as_it_was_written(desired in desired()) {
        for service in desired.services.iter() {
            prop_assert_eq!(there_and_back(service), Some(known(service)));
        }
    }
}

#[test]
fn an_entry_with_numbers_that_mean_nothing_is_nobodys() {
    assert_eq!(identity(&Entry::default()), None);
    assert_eq!(service_id(&ServiceKey::of_address(1, 2, 200)), None);
    assert_eq!(service_id(&ServiceKey::of_mark(5)), None);
}

#[test]
fn what_the_packet_path_cannot_do_is_refused_by_name() {
    for (id, what) in [
        ("mark/5", "firewall mark"),
        ("sctp/192.0.2.1:80", "protocol sctp"),
        ("tcp/[2001:db8::1]:80", "IPv6"),
    ] {
        let refused = key(id.parse().unwrap()).unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
    }
}
