//! What a file means, and what an edited file means for a director that was edited live.
//!
//! A file that is read again is compared with what it said when it was read last. What it says
//! otherwise now is done; live edits that it does not contradict stay. A section that a file
//! leaves out says nothing.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use serde::{Deserialize, Serialize};

use crate::{
    desired::{Desired, Server, Service},
    options::{Options, Patch, Timeouts},
    rules,
    values::Unreachable,
};

/// What a file says. What it leaves out is `None`, or not in the patch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Written {
    /// `interfaces:`
    pub interfaces: Option<Vec<String>>,
    /// `connections:`
    pub connections: Option<u32>,
    /// Those timeouts that it names.
    pub timeouts: Patch,
    /// `unreachable:`
    pub unreachable: Option<Unreachable>,
    /// `services:`
    pub services: Option<Vec<Service>>,
}

impl Written {
    /// The configuration of a director that is told nothing else.
    #[must_use]
    pub fn alone(&self) -> Desired {
        self.over(&Self::default(), &Desired::default())
    }

    /// `lb-ctl apply`: what is live becomes what this file says. What this file leaves out stays,
    /// unless `last`, the file that was done last, said it: then it has its default again.
    #[must_use]
    pub fn over(&self, last: &Self, live: &Desired) -> Desired {
        let mut after = self.settings(last, live, true);
        if let Some(interfaces) = &self.interfaces {
            after.interfaces.clone_from(interfaces);
        }
        if let Some(services) = &self.services {
            after.services = services.iter().cloned().map(Service::normal).collect();
        }
        after
    }

    /// A start, or SIGHUP: of this file, what it says otherwise than when it was read `last` is
    /// done; live edits that it does not contradict stay.
    #[must_use]
    pub fn again(&self, last: &Self, live: &Desired) -> Desired {
        let mut after = self.settings(last, live, false);
        if let (Some(now), then) = (&self.interfaces, &last.interfaces) {
            let then = then.as_deref().unwrap_or_default();
            after.interfaces = list(then, now, &live.interfaces, Clone::clone, |_, now, _| {
                now.clone()
            });
        }
        if let Some(now) = &self.services {
            let normal = |services: &[Service]| -> Vec<_> {
                services.iter().cloned().map(Service::normal).collect()
            };
            let then = normal(last.services.as_deref().unwrap_or_default());
            let live: Vec<_> = live.services.iter().cloned().collect();
            after.services = list(&then, &normal(now), &live, |s| s.id, service)
                .into_iter()
                .collect();
        }
        after
    }

    /// The settings merged, the rest as it is live. `all` that the file says is done, or else only
    /// what it says otherwise than before.
    fn settings(&self, last: &Self, live: &Desired, all: bool) -> Desired {
        let mut after = live.clone();
        match (self.connections, last.connections) {
            (Some(now), then) if all || then != Some(now) => after.connections = now,
            (None, Some(_)) => after.connections = rules::DEFAULT_CONNECTIONS,
            (Some(_) | None, _) => {}
        }
        match (self.unreachable, last.unreachable) {
            (Some(now), then) if all || then != Some(now) => after.unreachable = now,
            (None, Some(_)) => after.unreachable = Unreachable::default(),
            (Some(_) | None, _) => {}
        }
        for row in Timeouts::ROWS {
            let (now, then) = (self.timeouts.get(row.key), last.timeouts.get(row.key));
            let value = match now {
                Some(value) if all || now != then => value.clone(),
                None if then.is_some() => (row.json)(&Timeouts::default()),
                Some(_) | None => continue,
            };
            // Reading the file has found it valid.
            let _ = (row.put)(&mut after.timeouts, &value);
        }
        after
    }
}

/// A service that is in the file now: `then` it was there, perhaps; `live` it is there, perhaps.
fn service(then: Option<&Service>, now: &Service, live: Option<&Service>) -> Service {
    let (Some(then), Some(live)) = (then, live) else {
        return match (then, live) {
            // The file has it new, and so has somebody live: the file's options count.
            (None, Some(live)) => Service {
                servers: list(&[], &now.servers, &live.servers, |s| s.id, server),
                ..now.clone()
            }
            .normal(),
            _ => now.clone(),
        };
    };
    Service {
        id: now.id,
        options: options(&then.options, &now.options, &live.options),
        servers: list(&then.servers, &now.servers, &live.servers, |s| s.id, server),
    }
    .normal()
}

fn server(then: Option<&Server>, now: &Server, live: Option<&Server>) -> Server {
    match (then, live) {
        (Some(then), Some(live)) => Server {
            id: now.id,
            options: options(&then.options, &now.options, &live.options),
        },
        _ => now.clone(),
    }
}

/// The live options, but for those that the file says otherwise than before.
fn options<T: Options>(then: &T, now: &T, live: &T) -> T {
    let mut merged = live.clone();
    for row in T::ROWS {
        let value = (row.json)(now);
        if value != (row.json)(then) {
            // The value comes from the same row.
            let _ = (row.put)(&mut merged, &value);
        }
    }
    merged
}

/// Merges lists whose items have keys.
///
/// - New in the file: added. Gone from the file: removed. Deleted live: stays so, unless the file
///   says something new of it. Added live: stays.
/// - The order is the live one, unless the file's order has changed: then it is the file's.
fn list<T: Clone + PartialEq, K: Clone + Eq + Hash>(
    then: &[T],
    now: &[T],
    live: &[T],
    key: impl Fn(&T) -> K,
    merge: impl Fn(Option<&T>, &T, Option<&T>) -> T,
) -> Vec<T> {
    let index = |list: &[T]| -> HashMap<K, usize> { list.iter().map(&key).zip(0..).collect() };
    let (in_then, in_now, in_live) = (index(then), index(now), index(live));
    let of_file = |item: &T| {
        let key = key(item);
        let then = in_then.get(&key).map(|&place| &then[place]);
        let live = in_live.get(&key).map(|&place| &live[place]);
        let deleted_live = live.is_none() && then == Some(item);
        (!deleted_live).then(|| merge(then, item, live))
    };
    let of_live = |item: &T| {
        let key = key(item);
        match in_now.get(&key) {
            Some(&place) => of_file(&now[place]),
            None if in_then.contains_key(&key) => None,
            None => Some(item.clone()),
        }
    };
    let kept = |list: &[T], other: &HashMap<K, usize>| -> Vec<K> {
        let keys = list.iter().map(&key);
        keys.filter(|key| other.contains_key(key)).collect()
    };
    let reordered = kept(then, &in_now) != kept(now, &in_then);
    let file: Vec<T> = now.iter().filter_map(of_file).collect();
    let live: Vec<T> = live.iter().filter_map(of_live).collect();
    if reordered {
        with_others(file, &live, key)
    } else {
        with_others(live, &file, key)
    }
}

/// `first`, and the items that only `second` has: each after the item that it follows there.
fn with_others<T: Clone, K: Clone + Eq + Hash>(
    first: Vec<T>,
    second: &[T],
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let there: HashSet<K> = first.iter().map(&key).collect();
    let mut after: HashMap<Option<K>, Vec<T>> = Default::default();
    let mut anchor = None;
    for item in second {
        if there.contains(&key(item)) {
            anchor = Some(key(item));
        } else {
            after.entry(anchor.clone()).or_default().push(item.clone());
        }
    }
    let mut all = after.remove(&None).unwrap_or_default();
    for item in first {
        let key = key(&item);
        all.push(item);
        all.extend(after.remove(&Some(key)).unwrap_or_default());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Undo, strategies};
    use proptest::{collection, prelude::*};

    fn written(desired: &Desired) -> Written {
        let keys: Vec<_> = Timeouts::ROWS.iter().map(|row| row.key).collect();
        Written {
            interfaces: Some(desired.interfaces.clone()),
            connections: Some(desired.connections),
            timeouts: Patch::of(&desired.timeouts, &keys),
            unreachable: Some(desired.unreachable),
            services: Some(desired.services.iter().cloned().collect()),
        }
    }

    fn servers(ids: &[u32]) -> Written {
        let server = |last: &u32| Server {
            id: format!("10.0.0.{last}:80").parse().unwrap(),
            options: Default::default(),
        };
        Written {
            services: Some(vec![Service {
                servers: ids.iter().map(server).collect(),
                ..Service::new("tcp/192.0.2.1:80".parse().unwrap())
            }]),
            ..Written::default()
        }
    }

    fn merged(then: &[u32], now: &[u32], live: &[u32]) -> Vec<u32> {
        let merged = servers(now).again(&servers(then), &servers(live).alone());
        let service = merged.services.iter().next().unwrap();
        let last = |server: &Server| match server.id.address {
            std::net::IpAddr::V4(address) => u32::from(address.octets()[3]),
            std::net::IpAddr::V6(_) => 0,
        };
        service.servers.iter().map(last).collect()
    }

    #[test]
    fn live_edits_stay_where_the_file_does_not_contradict_them() {
        // 3 was added live at the head, 2 deleted; the file did not change.
        assert_eq!(merged(&[1, 2], &[1, 2], &[3, 1]), [3, 1]);
        // The file has 4 new after 1, and 2 is gone from it.
        assert_eq!(merged(&[1, 2], &[1, 4], &[3, 1, 2]), [3, 1, 4]);
        // The file's order has changed; what was added live stays behind the one that it followed.
        assert_eq!(merged(&[1, 2], &[2, 1], &[1, 3, 2]), [2, 1, 3]);
        // Added live and in the file.
        assert_eq!(merged(&[1], &[1, 2], &[2, 1]), [2, 1]);
    }

    #[test]
    fn a_server_that_was_drained_live_stays_drained_unless_the_file_says_otherwise() {
        let file = |weight| {
            let mut file = servers(&[1]);
            if let Some(services) = &mut file.services {
                services[0].servers[0].options.weight = weight;
            }
            file
        };
        let weight = |then, now, live| {
            let merged = file(now).again(&file(then), &file(live).alone());
            merged.services.iter().next().unwrap().servers[0]
                .options
                .weight
        };
        assert_eq!(weight(5, 5, 0), 0);
        assert_eq!(weight(5, 6, 0), 6);
    }

    #[test]
    fn a_file_without_services_says_nothing_of_them() {
        let live = servers(&[1, 2]).alone();
        let silent = Written {
            interfaces: Some(vec!["eth0".into()]),
            ..Written::default()
        };
        for last in [Written::default(), servers(&[1]), silent.clone()] {
            assert_eq!(silent.again(&last, &live).services, live.services);
            assert_eq!(silent.over(&last, &live).services, live.services);
        }
        let none = Written {
            services: Some(Vec::new()),
            ..Written::default()
        };
        assert!(none.over(&servers(&[1]), &live).services.is_empty());
        // What was added live stays also here.
        assert_eq!(none.again(&servers(&[1]), &live).services.len(), 0);
    }

    #[test]
    fn a_timeout_that_leaves_the_file_has_its_default_again() {
        let file = |words: &[(&str, &str)]| {
            let mut file = Written::default();
            for (key, word) in words {
                file.timeouts.word::<Timeouts>(key, word).unwrap();
            }
            file
        };
        let mut live = file(&[("tcp", "600s")]).alone();
        live.timeouts.udp.0 = 30;
        let after = file(&[]).again(&file(&[("tcp", "600s")]), &live);
        assert_eq!((after.timeouts.tcp.0, after.timeouts.udp.0), (900, 30));
        let after = file(&[("udp", "300s")]).again(&file(&[("tcp", "600s")]), &live);
        assert_eq!((after.timeouts.tcp.0, after.timeouts.udp.0), (900, 300));
    }

    proptest! {
        #[test]
        fn a_file_that_means_the_same_changes_nothing(
            file in strategies::desired(),
            edits in collection::vec(strategies::change(), 0..10),
        ) {
            let mut live = file.clone();
            for edit in &edits {
                let _ = edit.make(&mut live, &mut Undo::default());
            }
            let file = written(&file);
            prop_assert_eq!(file.again(&file, &live), live);
        }

        #[test]
        fn without_live_edits_the_file_is_done(
            then in strategies::desired(),
            now in strategies::desired(),
        ) {
            let (then, live) = (written(&then), then);
            prop_assert_eq!(written(&now).over(&then, &live), now.clone());
            let again = written(&now).again(&then, &live);
            // But for the order, where nothing that stays has moved.
            let sorted = |desired: &Desired| {
                let mut services: Vec<_> = desired.services.iter().cloned().collect();
                services.sort_by_key(|service| service.id);
                for service in &mut services {
                    service.servers.sort_by_key(|server| server.id);
                }
                let mut interfaces = desired.interfaces.clone();
                interfaces.sort();
                (services, interfaces, desired.timeouts.clone(), desired.connections)
            };
            prop_assert_eq!(sorted(&again), sorted(&now));
            // Once done, doing it again changes nothing.
            let file = written(&now);
            prop_assert_eq!(file.again(&file, &again), again);
        }
    }

    #[test]
    fn a_change_that_replaces_all_is_a_change_like_others() {
        let (mut desired, mut undo) = (servers(&[1]).alone(), Undo::default());
        let after = servers(&[2]).alone();
        Change::Replace(Box::new(after.clone()))
            .make(&mut desired, &mut undo)
            .unwrap();
        assert_eq!(desired, after);
    }
}
