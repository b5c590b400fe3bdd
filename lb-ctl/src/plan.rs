//! What must change for one configuration to become another. Pure: nothing is done here.
//!
//! The steps stand in an order in which they can be done one by one: what goes away first,
//! then what changes, then what is new. Carried out in that order they give exactly the
//! desired configuration, down to the order of its lists.

use std::{collections::HashMap, fmt, hash::Hash};

use crate::{
    desired::{Desired, Server, ServerId, Service, ServiceId, Timeouts},
    spelling::Named,
};

/// The difference between what is and what should be.
#[must_use]
pub fn plan(actual: &Desired, desired: &Desired) -> Plan {
    let mut steps = Vec::new();
    if actual.connections != desired.connections {
        steps.push(Step::Resize {
            from: actual.connections,
            to: desired.connections,
        });
    }
    if actual.timeouts != desired.timeouts {
        steps.push(Step::SetTimeouts {
            from: actual.timeouts,
            to: desired.timeouts,
        });
    }
    plan_services(&actual.services, &desired.services, &mut steps);
    plan_interfaces(&actual.interfaces, &desired.interfaces, &mut steps);
    Plan { steps }
}

/// Steps that lead from one configuration to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The connection table would need another size: no step that can be done, see
    /// [`Plan::refusal`].
    Resize {
        /// Capacity that there is.
        from: u32,
        /// Capacity that is desired.
        to: u32,
    },
    /// Timeouts change.
    SetTimeouts {
        /// Before.
        from: Timeouts,
        /// After.
        to: Timeouts,
    },
    /// A service and its servers go away.
    DeleteService(ServiceId),
    /// The services that are left come into this order.
    OrderServices(Vec<ServiceId>),
    /// Scheduler, forwarding method or name of a service change.
    SetService {
        /// Before.
        from: Head,
        /// After.
        to: Head,
    },
    /// A new service, without servers yet.
    AddService {
        /// All but its servers.
        service: Head,
        /// Where in the list of services.
        position: usize,
    },
    /// A server goes away.
    DeleteServer {
        /// Its service.
        service: ServiceId,
        /// Which.
        server: ServerId,
    },
    /// The servers that are left come into this order.
    OrderServers {
        /// Their service.
        service: ServiceId,
        /// All that are left.
        order: Vec<ServerId>,
    },
    /// Weight or forwarding method of a server change.
    SetServer {
        /// Its service.
        service: ServiceId,
        /// Before.
        from: Server,
        /// After; the same server.
        to: Server,
    },
    /// A new server.
    AddServer {
        /// Its service.
        service: ServiceId,
        /// The server.
        server: Server,
        /// Where in the order in which servers are scheduled.
        position: usize,
    },
    /// The XDP program leaves an interface.
    DetachInterface(String),
    /// The interfaces that are left come into this order, in the file alone.
    OrderInterfaces(Vec<String>),
    /// The XDP program is attached to an interface.
    AttachInterface {
        /// Its name.
        interface: String,
        /// Where in the list.
        position: usize,
    },
}

/// A service without its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head(Service);

impl Plan {
    /// The steps, in the order in which they are to be done.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// True where nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Why this plan cannot be carried out while the data plane runs, if so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.steps.iter().find_map(|step| match step {
            Step::Resize { from, to } => Some(format!(
                "the connection table was made for {from} connections and cannot become one for {to} while it is in use: \
                 stop the daemon, take the data plane down with `lb-ctl detach`, and start again (connections are lost)"
            )),
            _ => None,
        })
    }

    /// Each step as a line; none where there is nothing to do.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.steps.iter().map(Step::to_string).collect()
    }

    /// The configuration that carrying out the steps gives.
    #[must_use]
    pub fn applied_to(&self, actual: &Desired) -> Desired {
        let mut result = actual.clone();
        for step in &self.steps {
            step.apply(&mut result);
        }
        result
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing to do");
        }
        f.write_str(&self.lines().join("\n"))
    }
}

impl Head {
    fn of(service: &Service) -> Self {
        Self(Service {
            id: service.id,
            name: service.name.clone(),
            scheduler: service.scheduler,
            forward: service.forward,
            servers: Vec::new(),
        })
    }

    /// The service; its list of servers is empty.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.0
    }
}

fn plan_services(actual: &[Service], desired: &[Service], steps: &mut Vec<Step>) {
    let difference = Difference::between(actual, desired, |service| service.id);
    steps.extend(difference.gone.iter().map(|s| Step::DeleteService(s.id)));
    steps.extend(difference.order.map(Step::OrderServices));
    for (from, to) in difference.kept {
        if from == to {
            continue;
        }
        let heads = (Head::of(from), Head::of(to));
        if heads.0 != heads.1 {
            let (from, to) = heads;
            steps.push(Step::SetService { from, to });
        }
        plan_servers(to.id, &from.servers, &to.servers, steps);
    }
    for (position, service) in difference.new {
        steps.push(Step::AddService {
            service: Head::of(service),
            position,
        });
        plan_servers(service.id, &[], &service.servers, steps);
    }
}

fn plan_servers(service: ServiceId, actual: &[Server], desired: &[Server], steps: &mut Vec<Step>) {
    let difference = Difference::between(actual, desired, |server| server.id);
    steps.extend(difference.gone.iter().map(|gone| Step::DeleteServer {
        service,
        server: gone.id,
    }));
    steps.extend(
        difference
            .order
            .map(|order| Step::OrderServers { service, order }),
    );
    for (&from, &to) in difference.kept {
        if from != to {
            steps.push(Step::SetServer { service, from, to });
        }
    }
    steps.extend(
        difference
            .new
            .into_iter()
            .map(|(position, &server)| Step::AddServer {
                service,
                server,
                position,
            }),
    );
}

fn plan_interfaces(actual: &[String], desired: &[String], steps: &mut Vec<Step>) {
    let difference = Difference::between(actual, desired, Clone::clone);
    let gone = difference.gone.into_iter().cloned();
    steps.extend(gone.map(Step::DetachInterface));
    steps.extend(difference.order.map(Step::OrderInterfaces));
    for (position, interface) in difference.new {
        steps.push(Step::AttachInterface {
            interface: interface.clone(),
            position,
        });
    }
}

/// How one list becomes another: some items go, the rest come into order, then each new one
/// is put at its position, from the front on.
struct Difference<'a, T, K> {
    gone: Vec<&'a T>,
    /// All that are kept, if their order changes.
    order: Option<Vec<K>>,
    /// Before and after, in the order desired.
    kept: Vec<(&'a T, &'a T)>,
    new: Vec<(usize, &'a T)>,
}

impl<'a, T, K: Clone + Eq + Hash> Difference<'a, T, K> {
    /// By what tells items apart; it tells all items of one list apart.
    fn between(actual: &'a [T], desired: &'a [T], key: impl Fn(&T) -> K) -> Self {
        let before: HashMap<K, &T> = actual.iter().map(|item| (key(item), item)).collect();
        let after: HashMap<K, &T> = desired.iter().map(|item| (key(item), item)).collect();
        let is_kept = |item: &&T| after.contains_key(&key(item));
        let order: Vec<K> = desired
            .iter()
            .map(&key)
            .filter(|key| before.contains_key(key))
            .collect();
        let in_order = actual
            .iter()
            .filter(is_kept)
            .map(&key)
            .eq(order.iter().cloned());
        Self {
            gone: actual.iter().filter(|item| !is_kept(item)).collect(),
            order: (!in_order).then_some(order),
            kept: desired
                .iter()
                .filter_map(|item| before.get(&key(item)).map(|&from| (from, item)))
                .collect(),
            new: desired
                .iter()
                .enumerate()
                .filter(|(_, item)| !before.contains_key(&key(item)))
                .collect(),
        }
    }
}

impl Step {
    fn apply(&self, to: &mut Desired) {
        match self {
            Self::Resize { to: size, .. } => to.connections = *size,
            Self::SetTimeouts { to: timeouts, .. } => to.timeouts = *timeouts,
            Self::DeleteService(id) => to.services.retain(|service| service.id != *id),
            Self::OrderServices(order) => sort_like(&mut to.services, order, |s| s.id),
            Self::SetService { to: Head(head), .. } => {
                if let Some(service) = to.services.iter_mut().find(|s| s.id == head.id) {
                    let servers = std::mem::take(&mut service.servers);
                    *service = Service {
                        servers,
                        ..head.clone()
                    };
                }
            }
            Self::AddService {
                service: Head(head),
                position,
            } => insert(&mut to.services, *position, head.clone()),
            Self::DeleteServer { service, server } => {
                servers_of(to, *service, |list| list.retain(|s| s.id != *server));
            }
            Self::OrderServers { service, order } => {
                servers_of(to, *service, |list| sort_like(list, order, |s| s.id));
            }
            Self::SetServer {
                service,
                to: server,
                ..
            } => servers_of(to, *service, |list| {
                if let Some(place) = list.iter_mut().find(|s| s.id == server.id) {
                    *place = *server;
                }
            }),
            Self::AddServer {
                service,
                server,
                position,
            } => servers_of(to, *service, |list| insert(list, *position, *server)),
            Self::DetachInterface(name) => to.interfaces.retain(|i| i != name),
            Self::OrderInterfaces(order) => sort_like(&mut to.interfaces, order, Clone::clone),
            Self::AttachInterface {
                interface,
                position,
            } => insert(&mut to.interfaces, *position, interface.clone()),
        }
    }
}

fn servers_of(to: &mut Desired, service: ServiceId, change: impl FnOnce(&mut Vec<Server>)) {
    if let Some(service) = to.services.iter_mut().find(|s| s.id == service) {
        change(&mut service.servers);
    }
}

/// What the order does not name comes last.
fn sort_like<T, K: Eq + Hash>(list: &mut [T], order: &[K], key: impl Fn(&T) -> K) {
    let places: HashMap<&K, usize> = order.iter().zip(0..).collect();
    list.sort_by_key(|item| places.get(&key(item)).copied().unwrap_or(usize::MAX));
}

fn insert<T>(list: &mut Vec<T>, position: usize, item: T) {
    list.insert(position.min(list.len()), item);
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resize { from, to } => write!(
                f,
                "! connections {from} -> {to}: needs `lb-ctl detach` and a new start"
            ),
            Self::SetTimeouts { from, to } => {
                let mut changes = Changes::default();
                changes.note("tcp ", seconds(from.tcp), seconds(to.tcp));
                changes.note("tcpfin ", seconds(from.tcpfin), seconds(to.tcpfin));
                changes.note("udp ", seconds(from.udp), seconds(to.udp));
                write!(f, "~ timeouts {changes}")
            }
            Self::DeleteService(id) => write!(f, "- {id}"),
            Self::OrderServices(order) => write!(f, "~ services in the order {}", list(order)),
            Self::SetService {
                from: Head(from),
                to: Head(to),
            } => {
                let name = |service: &Service| service.name.clone().unwrap_or("none".into());
                let mut changes = Changes::default();
                changes.note("scheduler ", from.scheduler.name(), to.scheduler.name());
                changes.note("forward ", from.forward.name(), to.forward.name());
                changes.note("name ", name(from), name(to));
                write!(f, "~ {} {changes}", to.id)
            }
            Self::AddService {
                service: Head(service),
                ..
            } => {
                let Service {
                    id,
                    name,
                    scheduler,
                    forward,
                    ..
                } = service;
                write!(f, "+ {id} {} {}", scheduler.name(), forward.name())?;
                name.iter().try_for_each(|name| write!(f, " name {name}"))
            }
            Self::DeleteServer { service, server } => write!(f, "- {service} server {server}"),
            Self::OrderServers { service, order } => {
                write!(f, "~ {service} servers in the order {}", list(order))
            }
            Self::SetServer { service, from, to } => {
                let mut changes = Changes::default();
                changes.note("weight ", from.weight, to.weight);
                changes.note("", from.method.name(), to.method.name());
                write!(f, "~ {service} server {} {changes}", to.id)
            }
            Self::AddServer {
                service, server, ..
            } => {
                let Server { id, weight, method } = server;
                let method = method.name();
                write!(f, "+ {service} server {id} weight {weight} {method}")
            }
            Self::DetachInterface(interface) => write!(f, "- interface {interface}"),
            Self::OrderInterfaces(order) => write!(f, "~ interfaces in the order {}", list(order)),
            Self::AttachInterface { interface, .. } => write!(f, "+ interface {interface}"),
        }
    }
}

/// `weight 1 -> 2, dr -> nat`: what differs.
#[derive(Default)]
struct Changes(Vec<String>);

impl Changes {
    fn note<T: PartialEq + fmt::Display>(&mut self, label: &str, from: T, to: T) {
        if from != to {
            self.0.push(format!("{label}{from} -> {to}"));
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

fn seconds(seconds: u32) -> String {
    format!("{seconds}s")
}

/// The first few.
fn list<T: fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<_> = items.iter().take(SHOWN).map(T::to_string).collect();
    if items.len() > SHOWN {
        shown.push("...".into());
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, desired::strategies};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn carrying_a_plan_out_gives_what_is_desired(
            actual in strategies::desired(),
            desired in strategies::desired(),
        ) {
            let plan = plan(&actual, &desired);
            prop_assert_eq!(plan.applied_to(&actual), desired);
        }

        #[test]
        fn what_is_as_desired_needs_no_step(desired in strategies::desired()) {
            prop_assert_eq!(plan(&desired, &desired), Plan::default());
        }

        #[test]
        fn only_another_capacity_is_refused(
            actual in strategies::desired(),
            desired in strategies::desired(),
        ) {
            let refused = plan(&actual, &desired).refusal().is_some();
            prop_assert_eq!(refused, actual.connections != desired.connections);
        }

        #[test]
        fn every_step_is_one_line(actual in strategies::desired(), desired in strategies::desired()) {
            for line in plan(&actual, &desired).lines() {
                prop_assert!(line.starts_with(['+', '~', '-', '!']) && !line.contains('\n'), "{line}");
            }
        }
    }

    fn lines(actual: &str, desired: &str) -> Vec<String> {
        let read = |text| config::parse(text, "lb.yaml").unwrap();
        plan(&read(actual), &read(desired)).lines()
    }

    #[test]
    fn a_plan_reads_like_a_difference() {
        let actual = "
interfaces: [eth0]
services:
  - address: 192.0.2.1:80
    servers:
      - {address: 10.0.0.1}
      - {address: 10.0.0.2}
  - address: 192.0.2.1:53
    protocol: udp
";
        let desired = "
interfaces: [eth1]
timeouts: {tcp: 10m}
services:
  - address: 192.0.2.1:80
    name: web
    scheduler: wrr
    servers:
      - {address: 10.0.0.3, weight: 2, forward: tun}
      - {address: 10.0.0.1, weight: 5, forward: nat}
  - address: 192.0.2.1:443
    forward: nat
    servers:
      - {address: 10.0.0.1:8443}
";
        assert_eq!(
            lines(actual, desired),
            [
                "~ timeouts tcp 900s -> 600s",
                "- udp/192.0.2.1:53",
                "~ tcp/192.0.2.1:80 scheduler wlc -> wrr, name none -> web",
                "- tcp/192.0.2.1:80 server 10.0.0.2:80",
                "~ tcp/192.0.2.1:80 server 10.0.0.1:80 weight 1 -> 5, dr -> nat",
                "+ tcp/192.0.2.1:80 server 10.0.0.3:80 weight 2 tun",
                "+ tcp/192.0.2.1:443 wlc nat",
                "+ tcp/192.0.2.1:443 server 10.0.0.1:8443 weight 1 nat",
                "- interface eth0",
                "+ interface eth1",
            ]
        );
    }

    #[test]
    fn another_order_of_the_same_servers_is_one_step() {
        let service =
            |servers| format!("services: [{{address: '192.0.2.1:80', servers: {servers}}}]");
        assert_eq!(
            lines(
                &service("[address: 10.0.0.1, address: 10.0.0.2]"),
                &service("[address: 10.0.0.2, address: 10.0.0.1]"),
            ),
            ["~ tcp/192.0.2.1:80 servers in the order 10.0.0.2:80, 10.0.0.1:80"]
        );
    }

    #[test]
    fn another_capacity_says_what_has_to_be_done() {
        let actual = Desired::default();
        let desired = Desired {
            connections: 5,
            ..Desired::default()
        };
        let plan = plan(&actual, &desired);
        assert_eq!(
            plan.to_string(),
            "! connections 1000000 -> 5: needs `lb-ctl detach` and a new start"
        );
        assert!(plan.refusal().unwrap().contains("lb-ctl detach"));
    }

    #[test]
    fn an_empty_plan_says_so() {
        assert_eq!(Plan::default().to_string(), "nothing to do");
    }
}
