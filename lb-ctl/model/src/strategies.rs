//! Configurations and changes for property tests. Address and port spaces are small, so that two
//! configurations share much and differ in a little.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::{collection, option, prelude::*, sample};

use crate::{
    Change, Checksum, Desired, End, Endpoint, Engine, Mask, Method, Name, Patch, Persistence,
    Protocol, Scheduler, SchedulerFlags, Seconds, Server, ServerId, ServerOptions, Service,
    ServiceId, ServiceOptions, ServiceRef, Text, Timeouts, Tunnel, Unreachable, options::Options,
    packet_path, rules, spelling::Named,
};

/// A valid configuration.
pub fn desired() -> impl Strategy<Value = Desired> {
    let interfaces = sample::subsequence(vec!["eth0", "eth1", "true", "a,b", "1"], 0..=5);
    let timeouts = prop_oneof![
        Just(Timeouts::default()),
        proptest::array::uniform3(rules::SECONDS).prop_map(|[tcp, tcpfin, udp]| Timeouts {
            tcp: Seconds(tcp),
            tcpfin: Seconds(tcpfin),
            udp: Seconds(udp),
        }),
    ];
    let connections = prop_oneof![Just(rules::DEFAULT_CONNECTIONS), 1..=100_000_000u32];
    let interfaces = interfaces.prop_shuffle();
    let services = collection::vec(service(), 0..5);
    let unreachable = sample::select(Unreachable::ALL);
    (interfaces, connections, timeouts, unreachable, services).prop_map(
        |(interfaces, connections, timeouts, unreachable, mut services)| {
            keep_first(&mut services, |s| Some(s.id));
            keep_first(&mut services, |s| s.options.name.clone());
            Desired {
                interfaces: interfaces.into_iter().map(str::to_owned).collect(),
                connections,
                timeouts,
                unreachable,
                services: services.into_iter().collect(),
            }
        },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let servers = collection::vec((1..8u8, 80..82u16, server_options()), 0..6);
    (service_id(), service_options(), servers).prop_map(|(id, options, servers)| {
        let servers = servers.into_iter().map(|(last, port, options)| Server {
            id: ServerId {
                address: Ipv4Addr::new(10, 0, 0, last).into(),
                port,
            },
            options,
        });
        let mut service = Service {
            id,
            options,
            servers: servers.collect(),
        };
        for place in 0..service.servers.len() {
            if service.method(&service.servers[place]) != Method::Nat {
                service.servers[place].id.port = id.port();
            }
        }
        keep_first(&mut service.servers, |s| Some(s.id));
        service.normal()
    })
}

fn service_id() -> impl Strategy<Value = ServiceId> {
    let protocol = usable::<Protocol>();
    (protocol, 1..4u8, 80..82u16).prop_map(|(protocol, last, port)| ServiceId::Address {
        protocol,
        at: SocketAddr::new(Ipv4Addr::new(192, 0, 2, last).into(), port),
    })
}

/// Options that the packet path can do.
pub fn service_options() -> impl Strategy<Value = ServiceOptions> {
    all_service_options().prop_map(|options| ServiceOptions {
        scheduler: or_usable(options.scheduler.clone()),
        forward: or_usable(options.forward),
        ..without(options, packet_path::UNUSED_SERVICE_OPTIONS)
    })
}

/// Options that the packet path can do.
pub fn server_options() -> impl Strategy<Value = ServerOptions> {
    all_server_options().prop_map(|options| ServerOptions {
        forward: options.forward.map(or_usable),
        ..without(options, packet_path::UNUSED_SERVER_OPTIONS)
    })
}

/// The value, or one that can be used.
fn or_usable<T: Named>(value: T) -> T {
    let usable = T::usable();
    match usable.contains(&value.name()) {
        true => value,
        false => T::parse(usable[0]).expect("a word"),
    }
}

fn usable<T: Named + std::fmt::Debug>() -> impl Strategy<Value = T> {
    sample::select(T::usable()).prop_map(|word| T::parse(word).expect("a word"))
}

/// The options with these set back to their defaults.
fn without<T: Options>(mut options: T, keys: &[&str]) -> T {
    Patch::of(&T::default(), keys)
        .put(&mut options)
        .expect("defaults are valid");
    options
}

prop_compose! {
    /// Options of any value that there is.
    pub fn all_service_options()(
        name in option::of(name()),
        description in option::of(text()),
        scheduler in sample::select(Scheduler::ALL),
        scheduler_flags in (0..8u8).prop_map(SchedulerFlags),
        forward in sample::select(Method::ALL),
        persistence in option::of(persistence()),
        persistence_engine in option::of(engine()),
        one_packet: bool,
    ) -> ServiceOptions {
        ServiceOptions {
            name,
            description,
            scheduler,
            scheduler_flags,
            forward,
            persistence,
            persistence_engine,
            one_packet,
        }
    }
}

prop_compose! {
    /// Options of any value that there is.
    pub fn all_server_options()(
        description in option::of(text()),
        weight in prop_oneof![Just(1), rules::WEIGHTS],
        forward in option::of(sample::select(Method::ALL)),
        upper: u32,
        lower: u32,
        tunnel in tunnel(),
    ) -> ServerOptions {
        ServerOptions {
            description,
            weight,
            forward,
            upper,
            lower,
            tunnel,
        }
    }
}

fn name() -> impl Strategy<Value = Name> {
    let names = sample::select(vec!["web", "no", "1e3", "主页", "0x1f", "-"]);
    names.prop_map(|name| name.parse().expect("a name"))
}

fn engine() -> impl Strategy<Value = Engine> {
    Just("sip").prop_map(|name| name.parse().expect("an engine"))
}

fn persistence() -> impl Strategy<Value = Persistence> {
    let netmask = prop_oneof![
        Just(Mask::Whole),
        any::<u32>().prop_map(|bits| Mask::V4(Ipv4Addr::from_bits(bits))),
        (1..=128u8).prop_map(Mask::V6),
    ];
    (rules::SECONDS, netmask).prop_map(|(timeout, netmask)| Persistence {
        timeout: Seconds(timeout),
        netmask,
    })
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    let checksum = sample::select(vec![Checksum::Without, Checksum::With, Checksum::Remote]);
    prop_oneof![
        Just(Tunnel::Ipip),
        (any::<u16>(), checksum).prop_map(|(port, checksum)| Tunnel::Gue { port, checksum }),
        Just(Tunnel::Gre {
            checksum: Checksum::With
        }),
    ]
}

/// Lines of text, some of which mean something else where they are not in quotes.
pub fn text() -> impl Strategy<Value = Text> {
    let texts = sample::select(vec![
        "front page",
        "no",
        "5",
        "- a: b # c",
        "\"quoted\" 'twice'",
        "{x: [y]}",
        "前台 — 主页",
    ]);
    texts.prop_map(|text| text.parse().expect("a line of text"))
}

/// A change of services and servers that [`desired`] has, and of some that nothing may have.
pub fn change() -> impl Strategy<Value = Change> {
    let service = sample::select(vec!["tcp/192.0.2.1:80", "udp/192.0.2.2:81", "web", "-"])
        .prop_map(|text| text.parse::<ServiceRef>().expect("a service"));
    let id = prop_oneof![
        4 => service_id(),
        1 => sample::select(vec!["tcp/127.0.0.1:80", "udp/192.0.2.9:0", "mark/5"])
            .prop_map(|text| text.parse::<ServiceId>().expect("a service")),
    ];
    let server = prop_oneof![
        4 => (1..8u8, option::of(80..82u16)).prop_map(|(last, port)| Endpoint {
            address: IpAddr::from([10, 0, 0, last]),
            port,
        }),
        1 => sample::select(vec!["127.0.0.1", "192.0.2.1", "2001:db8::1"])
            .prop_map(|text| text.parse::<Endpoint>().expect("a server")),
    ];
    let options = (
        prop_oneof![4 => service_options().boxed(), 1 => all_service_options().boxed()],
        prop_oneof![4 => server_options().boxed(), 1 => all_server_options().boxed()],
    );
    let keys = any::<prop::sample::Selector>();
    let end = sample::select(vec![End::Head, End::Tail]);
    let timeouts = prop_oneof![
        Just(Timeouts::default()),
        Just(Timeouts {
            udp: Seconds(30),
            ..Timeouts::default()
        })
    ];
    (
        0..20,
        service,
        id,
        server,
        options,
        keys,
        end,
        timeouts,
        desired(),
    )
        .prop_map(
            |(kind, service, id, server, (of_service, of_server), keys, end, timeouts, all)| {
                match kind {
                    0..=2 => Change::AddService {
                        id,
                        options: of_service,
                    },
                    3..=5 => Change::SetService {
                        service,
                        set: some(&of_service, &keys),
                    },
                    6 | 7 => Change::DeleteService { service },
                    8..=11 => Change::AddServer {
                        service,
                        server,
                        options: of_server,
                        end,
                    },
                    12..=14 => Change::SetServer {
                        service,
                        server,
                        set: some(&of_server, &keys),
                    },
                    15 | 16 => Change::DeleteServer { service, server },
                    17 => Change::SetTimeouts {
                        set: some(&timeouts, &keys),
                    },
                    18 => Change::Clear,
                    _ => Change::Replace(Box::new(all)),
                }
            },
        )
}

/// A patch of one of the options.
fn some<T: Options>(options: &T, keys: &sample::Selector) -> Patch {
    let row = keys.select(T::ROWS.iter().map(|row| row.key));
    Patch::of(options, &[row])
}

/// Drops what has the same key as something before it.
fn keep_first<T, K: PartialEq>(list: &mut Vec<T>, key: impl Fn(&T) -> Option<K>) {
    let mut seen = Vec::new();
    list.retain(|item| match key(item) {
        Some(key) if seen.contains(&key) => false,
        Some(key) => {
            seen.push(key);
            true
        }
        None => true,
    });
}

/// The protocols that a service can have, whether they are balanced or not.
pub fn protocol() -> impl Strategy<Value = Protocol> {
    sample::select(Protocol::ALL)
}
