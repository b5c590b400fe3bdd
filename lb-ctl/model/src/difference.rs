//! What changes from one configuration to another, as lines for people: what, old -> new. A line
//! begins with `+` (new), `-` (removed), `~` (changed) or `!` (cannot be done).

use std::{collections::HashMap, fmt::Display, hash::Hash};

use crate::{
    change::Undo,
    desired::{Desired, Server, Service},
    ids::ServiceId,
    options::Options,
    spelling::first_of,
};

/// The lines from one configuration to another: what goes away, what changes, what is new.
#[must_use]
pub fn between(before: &Desired, after: &Desired) -> Vec<String> {
    let mut lines = Vec::new();
    if before.connections != after.connections {
        lines.push(format!(
            "! connections {} -> {}: needs `lb-ctl detach` and a new start",
            before.connections, after.connections
        ));
    }
    timeouts(&before.timeouts, &after.timeouts, &mut lines);
    if before.unreachable != after.unreachable {
        lines.push(format!(
            "~ unreachable {} -> {}",
            before.unreachable, after.unreachable
        ));
    }
    let all_before: Vec<_> = before.services.iter().collect();
    let all_after: Vec<_> = after.services.iter().collect();
    let lists = Lists::of(&all_before, &all_after, |service| service.id);
    let gone = lists.gone.iter().map(|service| format!("- {}", service.id));
    lines.extend(gone);
    lines.extend(
        lists
            .order
            .as_deref()
            .map(|order| in_order("services", order)),
    );
    for (before, after) in &lists.kept {
        service(Some(before), Some(after), &mut lines);
    }
    for new in &lists.new {
        service(None, Some(new), &mut lines);
    }
    interfaces(&before.interfaces, &after.interfaces, &mut lines);
    lines
}

/// The lines of some changes, of which `undo` knows what was there before. Looks at nothing that
/// they did not touch.
#[must_use]
pub fn since(undo: &Undo, after: &Desired) -> Vec<String> {
    if let Some(before) = undo.all_before() {
        return between(before, after);
    }
    let mut lines = Vec::new();
    if let Some(before) = undo.timeouts_before() {
        timeouts(before, &after.timeouts, &mut lines);
    }
    for id in undo.touched(after) {
        service(undo.before(id, after), after.services.get(id), &mut lines);
    }
    lines
}

fn timeouts<T: Options>(before: &T, after: &T, lines: &mut Vec<String>) {
    let changes = before.changes(after);
    if !changes.is_empty() {
        lines.push(format!("~ timeouts {}", changes.join(", ")));
    }
}

fn service(before: Option<&Service>, after: Option<&Service>, lines: &mut Vec<String>) {
    let (id, nothing) = match (before, after) {
        (None, None) => return,
        (Some(before), None) => {
            lines.push(format!("- {}", before.id));
            return;
        }
        (None, Some(after)) => {
            // The scheduler and the method are told even where they are the default.
            let options = &after.options;
            let others = said(options, &["scheduler", "forward"]);
            lines.push(format!(
                "+ {} {} {}{others}",
                after.id, options.scheduler, options.forward
            ));
            (after.id, Vec::new())
        }
        (Some(before), Some(after)) => {
            let changes = before.options.changes(&after.options);
            if !changes.is_empty() {
                lines.push(format!("~ {} {}", after.id, changes.join(", ")));
            }
            (after.id, Vec::new())
        }
    };
    let before = before.map_or(&nothing, |before| &before.servers);
    let after = after.map_or(&nothing, |after| &after.servers);
    servers(id, before, after, lines);
}

fn servers(service: ServiceId, before: &[Server], after: &[Server], lines: &mut Vec<String>) {
    let before: Vec<_> = before.iter().collect();
    let after: Vec<_> = after.iter().collect();
    let lists = Lists::of(&before, &after, |server| server.id);
    for gone in &lists.gone {
        lines.push(format!("- {service} server {}", gone.id));
    }
    if let Some(order) = &lists.order {
        lines.push(in_order(&format!("{service} servers"), order));
    }
    for (before, after) in &lists.kept {
        let changes = before.options.changes(&after.options);
        if !changes.is_empty() {
            let changes = changes.join(", ");
            lines.push(format!("~ {service} server {} {changes}", after.id));
        }
    }
    for new in &lists.new {
        let weight = new.options.weight;
        let others = said(&new.options, &["weight"]);
        lines.push(format!(
            "+ {service} server {} weight {weight}{others}",
            new.id
        ));
    }
}

fn interfaces(before: &[String], after: &[String], lines: &mut Vec<String>) {
    let before: Vec<_> = before.iter().collect();
    let after: Vec<_> = after.iter().collect();
    let lists = Lists::of(&before, &after, |name| (*name).clone());
    lines.extend(lists.gone.iter().map(|name| format!("- interface {name}")));
    lines.extend(
        lists
            .order
            .as_deref()
            .map(|order| in_order("interfaces", order)),
    );
    lines.extend(lists.new.iter().map(|name| format!("+ interface {name}")));
}

/// ` key value` for each option that is said, but for some that are told anyway.
fn said<T: Options>(options: &T, told: &[&str]) -> String {
    let rows = options.said().filter(|row| !told.contains(&row.key));
    rows.map(|row| format!(" {} {}", row.key, row.shown(options)))
        .collect()
}

fn in_order<T: Display>(what: &str, order: &[T]) -> String {
    format!("~ {what} in the order {}", first_of(order))
}

/// How one list becomes another.
struct Lists<'a, T, K> {
    gone: Vec<&'a T>,
    /// What is kept, where its order changes.
    order: Option<Vec<K>>,
    /// Before and after, in the order of the list after.
    kept: Vec<(&'a T, &'a T)>,
    new: Vec<&'a T>,
}

impl<'a, T, K: Clone + Eq + Hash> Lists<'a, T, K> {
    /// `key` tells all items of one list apart.
    fn of(before: &[&'a T], after: &[&'a T], key: impl Fn(&T) -> K) -> Self {
        let had: HashMap<K, &T> = before.iter().map(|item| (key(item), *item)).collect();
        let has: HashMap<K, &T> = after.iter().map(|item| (key(item), *item)).collect();
        let kept_before = before.iter().map(|item| key(item));
        let kept_before = kept_before.filter(|key| has.contains_key(key));
        let order: Vec<K> = after.iter().map(|item| key(item)).collect();
        let order: Vec<K> = order
            .into_iter()
            .filter(|key| had.contains_key(key))
            .collect();
        let moved = !kept_before.eq(order.iter().cloned());
        let gone = before.iter().filter(|item| !has.contains_key(&key(item)));
        let new = after.iter().filter(|item| !had.contains_key(&key(item)));
        let kept = after
            .iter()
            .filter_map(|item| had.get(&key(item)).map(|before| (*before, *item)));
        Self {
            gone: gone.copied().collect(),
            order: moved.then_some(order),
            kept: kept.collect(),
            new: new.copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServerOptions, strategies, values::Method};
    use proptest::prelude::*;

    fn server(id: &str, options: ServerOptions) -> Server {
        Server {
            id: id.parse().unwrap(),
            options,
        }
    }

    fn service(id: &str, servers: Vec<Server>) -> Service {
        Service {
            servers,
            ..Service::new(id.parse().unwrap())
        }
    }

    fn desired(interface: &str, services: Vec<Service>) -> Desired {
        Desired {
            interfaces: vec![interface.to_owned()],
            services: services.into_iter().collect(),
            ..Desired::default()
        }
    }

    #[test]
    fn a_difference_says_what_goes_what_changes_and_what_is_new() {
        let plain = ServerOptions::default;
        let before = desired(
            "eth0",
            vec![
                service(
                    "tcp/192.0.2.1:80",
                    vec![
                        server("10.0.0.1:80", plain()),
                        server("10.0.0.2:80", plain()),
                    ],
                ),
                service("udp/192.0.2.1:53", vec![]),
            ],
        );
        let mut web = service(
            "tcp/192.0.2.1:80",
            vec![
                server(
                    "10.0.0.3:80",
                    ServerOptions {
                        weight: 2,
                        forward: Some(Method::Tun),
                        ..plain()
                    },
                ),
                server(
                    "10.0.0.1:80",
                    ServerOptions {
                        weight: 5,
                        forward: Some(Method::Nat),
                        ..plain()
                    },
                ),
            ],
        );
        web.options.scheduler = crate::Scheduler::Wrr;
        web.options.name = Some("web".parse().unwrap());
        let mut tls = service("tcp/192.0.2.1:443", vec![server("10.0.0.1:8443", plain())]);
        tls.options.forward = Method::Nat;
        tls.options.name = Some("shop".parse().unwrap());
        let mut after = desired("eth1", vec![web, tls]);
        after.timeouts.tcp.0 = 600;
        assert_eq!(
            between(&before, &after),
            [
                "~ timeouts tcp 900s -> 600s",
                "- udp/192.0.2.1:53",
                "~ tcp/192.0.2.1:80 name none -> web, scheduler wlc -> wrr",
                "- tcp/192.0.2.1:80 server 10.0.0.2:80",
                "~ tcp/192.0.2.1:80 server 10.0.0.1:80 weight 1 -> 5, forward none -> nat",
                "+ tcp/192.0.2.1:80 server 10.0.0.3:80 weight 2 forward tun",
                "+ tcp/192.0.2.1:443 wlc nat name shop",
                "+ tcp/192.0.2.1:443 server 10.0.0.1:8443 weight 1",
                "- interface eth0",
                "+ interface eth1",
            ]
        );
    }

    #[test]
    fn another_order_of_the_same_servers_is_one_line() {
        let list = |ids: [&str; 2]| {
            let servers = ids.map(|id| server(id, ServerOptions::default()));
            desired("eth0", vec![service("tcp/192.0.2.1:80", servers.into())])
        };
        let (one, two) = ("10.0.0.1:80", "10.0.0.2:80");
        assert_eq!(
            between(&list([one, two]), &list([two, one])),
            ["~ tcp/192.0.2.1:80 servers in the order 10.0.0.2:80, 10.0.0.1:80"]
        );
    }

    #[test]
    fn another_capacity_says_what_has_to_be_done() {
        let after = Desired {
            connections: 5,
            ..Desired::default()
        };
        assert_eq!(
            between(&Desired::default(), &after),
            ["! connections 1000000 -> 5: needs `lb-ctl detach` and a new start"]
        );
    }

    proptest! {
        #[test]
        fn there_are_lines_exactly_where_something_differs(
            before in strategies::desired(),
            after in strategies::desired(),
        ) {
            prop_assert_eq!(between(&before, &after).is_empty(), before == after);
            prop_assert!(between(&before, &before).is_empty());
            for line in between(&before, &after) {
                prop_assert!(line.starts_with(['+', '~', '-', '!']) && !line.contains('\n'), "{line}");
            }
        }
    }
}
