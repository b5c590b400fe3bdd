//! The model as map values, and map values as the model.
//!
//! Both directions stand side by side, and no other file of the data plane looks into the model.
//! Map values are made and taken apart field by field: a new field does not compile before it is
//! written here, and read back. Options that no packet reads do not come here at all.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lb_common::{
    layout::{Interface as Place, key::Key},
    schedule::Scheduler as SchedulerNumber,
    server::{
        Counters, Load, Method as MethodNumber, SERVER_LOCAL, SERVER_REACHABLE, Server as Entry,
    },
    service::{Service as Value, ServiceKey},
    state::{
        UDP,
        tcp::TcpState,
        timeouts::{self, DEFAULT_TIMEOUTS},
    },
};
use lb_model::{
    Method, Protocol, Scheduler, Server, ServerId, Service, ServiceId, ServiceOptions, State,
    Timeouts, spelling::Named as _,
};

use super::next_hop::{Hop, Interface, NextHop};

/// What the model has and the packet path cannot do.
#[derive(Debug, thiserror::Error)]
#[error("the packet path has no {0}")]
pub struct Beyond(String);

/// What tells one entry of the map `servers` from another: connections keep the forwarding
/// method that they were opened with, so a server has an entry for each method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The service.
    pub service: ServiceId,
    /// The server.
    pub server: ServerId,
    /// The forwarding method.
    pub method: Method,
}

/// A service's key in maps.
pub fn key(id: ServiceId) -> Result<ServiceKey, Beyond> {
    match id {
        ServiceId::Address { protocol, at } => Ok(ServiceKey::of_address(
            wire(at.ip())?,
            at.port().to_be(),
            protocol_number(protocol)?,
        )),
        ServiceId::Mark { .. } => Err(Beyond(format!("services by firewall mark ({id})"))),
    }
}

/// The service of a key; `None` if the key makes no sense.
pub fn service_id(key: &ServiceKey) -> Option<ServiceId> {
    if key.mark().is_some() {
        return None;
    }
    Some(ServiceId::Address {
        protocol: protocol(key.protocol)?,
        at: at(key.address, key.port),
    })
}

/// What the map `services` says of a service. Its roster and its row are left for whoever writes
/// it; its servers are in the roster.
pub fn value(service: &Service) -> Result<Value, Beyond> {
    let ServiceOptions {
        scheduler, forward, ..
    } = &service.options;
    Ok(Value {
        roster: 0,
        servers: service.servers.len() as u32,
        scheduler: scheduler_number(scheduler)? as u8,
        forward: method_number(*forward)? as u8,
        _flags: 0,
        index: 0,
        _room: [0; 4],
    })
}

/// A server of a service: its identity, and its weight in the roster.
pub fn roster_entry(service: &Service, server: &Server) -> (Identity, u32) {
    let identity = Identity {
        service: service.id,
        server: server.id,
        method: service.method(server),
    };
    (identity, server.options.weight)
}

/// The entry of a server of which nothing else is known yet.
pub fn entry(identity: &Identity) -> Result<Entry, Beyond> {
    let &Identity {
        service,
        server,
        method,
    } = identity;
    let key = key(service)?;
    Ok(Entry {
        address: wire(server.address)?,
        port: server.port.to_be(),
        service_address: key.address,
        service_port: key.port,
        protocol: key.protocol,
        method: method_number(method)? as u8,
        ..Entry::default()
    })
}

/// Whose entry it is; `None` if it is not in use.
pub fn identity(entry: &Entry) -> Option<Identity> {
    let key = ServiceKey::of_address(entry.service_address, entry.service_port, entry.protocol);
    let server = at(entry.address, entry.port);
    Some(Identity {
        service: service_id(&key)?,
        server: ServerId {
            address: server.ip(),
            port: server.port(),
        },
        method: method(entry.method)?,
    })
}

/// The addresses, as on the wire, whose packets concern the director because of this entry:
/// clients' packets go to the VIP, replies of a NAT server come from its address.
pub fn concerns(entry: &Entry) -> impl Iterator<Item = u32> {
    let reply = (entry.method == MethodNumber::Nat as u8).then_some(entry.address);
    [entry.service_address].into_iter().chain(reply)
}

/// Writes a next hop into a server's entry. What is not known overwrites nothing: a daemon that
/// starts finds there how the server was reached last.
pub fn set_next_hop(entry: &mut Entry, next_hop: &NextHop) {
    entry.flags &= !(SERVER_REACHABLE | SERVER_LOCAL);
    match next_hop {
        NextHop::Unknown => {}
        NextHop::Local => entry.flags |= SERVER_LOCAL,
        NextHop::Ethernet(hop) => {
            let &Hop {
                interface,
                source_mac: [g, h, i, j, k, l],
                next_hop_mac: [a, b, c, d, e, f],
                mtu,
                source,
            } = hop;
            entry.flags |= SERVER_REACHABLE;
            entry.ethernet = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes);
            entry.interface = interface;
            entry.mtu = mtu;
            entry.tunnel_source = u32::from_ne_bytes(source.octets());
        }
    }
}

/// The next hop in a server's entry.
pub fn next_hop(entry: &Entry) -> NextHop {
    if entry.flags & SERVER_LOCAL != 0 {
        return NextHop::Local;
    }
    if entry.flags & SERVER_REACHABLE == 0 {
        return NextHop::Unknown;
    }
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l]] = entry.ethernet.map(u32::to_ne_bytes);
    NextHop::Ethernet(Hop {
        interface: entry.interface,
        source_mac: [g, h, i, j, k, l],
        next_hop_mac: [a, b, c, d, e, f],
        mtu: entry.mtu,
        source: address(entry.tunnel_source),
    })
}

/// An interface.
pub fn interface(interface: Interface) -> Place {
    let Interface { index, mac } = interface;
    Place {
        index,
        mac,
        ..Place::default()
    }
}

/// The timeouts of all states, in ticks; those that cannot be set are IPVS's.
pub fn timeouts_in_ticks(timeouts: &Timeouts, hz: u32) -> timeouts::Timeouts {
    let &Timeouts { tcp, tcpfin, udp } = timeouts;
    let mut seconds = DEFAULT_TIMEOUTS;
    for (state, timeout) in [
        (TcpState::Established as usize, tcp),
        (TcpState::FinWait as usize, tcpfin),
        (usize::from(UDP), udp),
    ] {
        seconds[state] = timeout.0;
    }
    timeouts::Timeouts::of(&seconds, hz)
}

/// Protocol, client and service address of a connection; `None` if its protocol is none of ours.
pub fn ends(key: &Key) -> Option<(Protocol, SocketAddr, SocketAddr)> {
    Some((
        protocol(key.protocol())?,
        at(key.source(), key.source_port()),
        at(key.destination(), key.destination_port()),
    ))
}

/// The state of this number; `None` if it is not a connection's.
pub fn state(number: u8) -> Option<State> {
    const ALL: [(u8, State); 11] = [
        (TcpState::Established as u8, State::Established),
        (TcpState::SynSent as u8, State::SynSent),
        (TcpState::SynRecv as u8, State::SynRecv),
        (TcpState::FinWait as u8, State::FinWait),
        (TcpState::TimeWait as u8, State::TimeWait),
        (TcpState::Close as u8, State::Close),
        (TcpState::CloseWait as u8, State::CloseWait),
        (TcpState::LastAck as u8, State::LastAck),
        (TcpState::Listen as u8, State::Listen),
        (TcpState::SynAck as u8, State::SynAck),
        (UDP, State::Udp),
    ];
    ALL.into_iter()
        .find_map(|(known, state)| (known == number).then_some(state))
}

/// What was counted.
pub fn counters(counters: Counters) -> lb_model::Counters {
    let Counters {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    } = counters;
    lb_model::Counters {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    }
}

/// The connections of one entry.
pub fn load(load: Load) -> lb_model::Load {
    let Load { active, inactive } = load;
    lb_model::Load {
        active: active.into(),
        inactive: inactive.into(),
    }
}

/// All forwarding methods that an entry can have.
pub const METHODS: [Method; 3] = [Method::Dr, Method::Nat, Method::Tun];

fn method_number(method: Method) -> Result<MethodNumber, Beyond> {
    match method {
        Method::Dr => Ok(MethodNumber::Dr),
        Method::Nat => Ok(MethodNumber::Nat),
        Method::Tun => Ok(MethodNumber::Tun),
        Method::Fullnat => Err(Beyond(format!("forwarding method {}", method.name()))),
    }
}

fn method(number: u8) -> Option<Method> {
    Some(match MethodNumber::of_number(number)? {
        MethodNumber::Dr => Method::Dr,
        MethodNumber::Nat => Method::Nat,
        MethodNumber::Tun => Method::Tun,
    })
}

/// The scheduler of the packet path.
pub fn scheduler_number(scheduler: &Scheduler) -> Result<SchedulerNumber, Beyond> {
    match scheduler {
        Scheduler::Rr => Ok(SchedulerNumber::Rr),
        Scheduler::Wrr => Ok(SchedulerNumber::Wrr),
        Scheduler::Lc => Ok(SchedulerNumber::Lc),
        Scheduler::Wlc => Ok(SchedulerNumber::Wlc),
        Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Fo
        | Scheduler::Ovf
        | Scheduler::Sh
        | Scheduler::Dh
        | Scheduler::Mh
        | Scheduler::Lblc
        | Scheduler::Lblcr
        | Scheduler::Twos
        | Scheduler::Other(_) => Err(Beyond(format!("scheduler {}", scheduler.name()))),
    }
}

fn protocol_number(protocol: Protocol) -> Result<u8, Beyond> {
    match protocol {
        Protocol::Tcp | Protocol::Udp => Ok(protocol as u8),
        Protocol::Sctp => Err(Beyond(format!("protocol {protocol}"))),
    }
}

fn protocol(number: u8) -> Option<Protocol> {
    Protocol::ALL
        .iter()
        .copied()
        .find(|&protocol| protocol_number(protocol).is_ok_and(|known| known == number))
}

/// An address as on the wire.
fn wire(address: IpAddr) -> Result<u32, Beyond> {
    match address {
        IpAddr::V4(address) => Ok(u32::from_ne_bytes(address.octets())),
        IpAddr::V6(_) => Err(Beyond(format!("IPv6 ({address})"))),
    }
}

/// An address from the wire.
fn address(wire: u32) -> Ipv4Addr {
    Ipv4Addr::from(wire.to_ne_bytes())
}

/// Address and port from the wire.
fn at(wire: u32, port: u16) -> SocketAddr {
    SocketAddr::new(address(wire).into(), u16::from_be(port))
}

#[cfg(test)]
mod tests {
    use lb_common::layout::Settings;
    use proptest::prelude::*;

    use lb_model::{Seconds, ServerOptions, rules, strategies::desired};

    use super::*;

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

    /// The timeouts that can be set.
    fn timeouts_in_seconds(settings: &Settings) -> Timeouts {
        let seconds = |state| Seconds(settings.timeouts.seconds(state, settings.hz));
        Timeouts {
            tcp: seconds(TcpState::Established as u8),
            tcpfin: seconds(TcpState::FinWait as u8),
            udp: seconds(UDP),
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

        #[test]
        fn a_next_hop_comes_back_as_it_was_written(
            interface in any::<u32>(),
            source_mac in any::<[u8; 6]>(),
            next_hop_mac in any::<[u8; 6]>(),
            mtu in any::<u16>(),
            source in any::<Ipv4Addr>(),
        ) {
            let hop = Hop { interface, source_mac, next_hop_mac, mtu, source };
            let mut entry = Entry::default();
            for wanted in [NextHop::Ethernet(hop), NextHop::Local, NextHop::Unknown] {
                set_next_hop(&mut entry, &wanted);
                prop_assert_eq!(next_hop(&entry), wanted);
            }
        }
    }

    #[test]
    fn timeouts_are_read_as_they_were_written() {
        for hz in [24, 100, 250, 300, 1000, 1024] {
            for seconds in [1, 2, 59, 900, 86_400, *rules::SECONDS.end()] {
                let wanted = Timeouts {
                    tcp: Seconds(seconds),
                    tcpfin: Seconds(seconds + 1),
                    udp: Seconds(seconds + 2),
                };
                let settings = Settings {
                    timeouts: timeouts_in_ticks(&wanted, hz),
                    hz,
                    ..Settings::default()
                };
                assert_eq!(timeouts_in_seconds(&settings), wanted, "{hz} Hz");
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
    fn states_have_ipvs_names() {
        let states = [TcpState::Established as u8, TcpState::SynAck as u8, UDP].map(state);
        let wanted = [State::Established, State::SynAck, State::Udp];
        assert_eq!(states, wanted.map(Some));
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

    #[test]
    fn every_state_of_a_connection_has_a_name() {
        for number in 0..=u8::MAX {
            let timeout = DEFAULT_TIMEOUTS.get(usize::from(number));
            let stored = timeout.is_some_and(|&seconds| seconds != 0);
            assert_eq!(state(number).is_some(), stored, "{number:#x}");
        }
    }
}
