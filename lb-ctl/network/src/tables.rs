//! What the kernel said so far.
//!
//! Nothing here waits or asks. Whoever looks something up is told the answer or the next
//! question for the kernel ([`Step`]), and brings back what it said, unless that may be out
//! of date by then: every change that may concern routes begins a new *generation*, and
//! what was asked in an older one is not learnt.
//!
//! The rule that keeps answers from growing stale: a route is only forgotten together with
//! telling the consumer, so an answer that was given is either still right or was recalled.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    changes::Change,
    events::Event,
    links::Port,
    neighbours::{Neighbour, NextHop, Standing},
    reach::{Hop, Reach},
    routes::{EVERYWHERE, Route, Span, Via},
};

/// The kernel announces that an interface went down, or that a route is deleted, before it
/// changes its routing table, and answers questions meanwhile (it needs no lock for that since
/// Linux 4.14). So what was asked this soon after an announcement is recalled once more.
const SETTLING: Duration = Duration::from_millis(200);

/// The mirror of the kernel's tables, as far as anybody asked.
#[derive(Debug, Default)]
pub(super) struct Tables {
    links: HashMap<u32, Port>,
    neighbours: HashMap<NextHop, Neighbour>,
    routes: BTreeMap<Ipv4Addr, Route>,
    /// Next hops of `routes` (and perhaps more), each with those who wait for news of it.
    watched: HashMap<NextHop, Arc<Notify>>,
    generation: u64,
    /// What is to be recalled again, and when.
    settling: VecDeque<(Instant, Span)>,
    change: Change,
}

/// How a look-up goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This is the answer.
    Known(Reach),
    /// After asking for the address's route.
    AskRoute,
    /// After asking for the interface of this index.
    AskLink(u32),
    /// After asking for this neighbour.
    AskNeighbour(NextHop),
}

impl Tables {
    pub(super) fn new(links: Vec<Port>, neighbours: Vec<(NextHop, Neighbour)>) -> Self {
        let links = links.into_iter().map(|port| (port.interface, port));
        Self {
            links: links.collect(),
            neighbours: neighbours.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The answer or the next question, and the generation in which it arose.
    pub(super) fn look_up(&mut self, address: Ipv4Addr) -> (Step, u64) {
        (self.step(address), self.generation)
    }

    fn step(&mut self, address: Ipv4Addr) -> Step {
        if address.is_loopback() {
            return Step::Known(Reach::Local);
        }
        if address.is_unspecified() {
            // The kernel would take it for itself.
            return Step::Known(Reach::None(format!("{address} is no machine's address")));
        }
        let via = match self.routes.get(&address) {
            None => return Step::AskRoute,
            Some(Route::Local) => return Step::Known(Reach::Local),
            Some(Route::None(why)) => return Step::Known(Reach::None(why.clone())),
            Some(Route::Via(via)) => via,
        };
        let Some(port) = self.links.get(&via.interface) else {
            return Step::AskLink(via.interface);
        };
        if let Some(obstacle) = port.obstacle() {
            let name = &port.name;
            return Step::Known(Reach::None(format!(
                "the route to {address} leaves by {name}, {obstacle}"
            )));
        }
        let hop = via.hop();
        self.watched.entry(hop).or_default();
        let Some(neighbour) = self.neighbours.get(&hop) else {
            return Step::AskNeighbour(hop);
        };
        Step::Known(match neighbour.mac() {
            Some(next_hop_mac) => Reach::Hop(Hop {
                interface: port.interface,
                interface_name: port.name.clone(),
                kind: port.kind.clone(),
                source_mac: port.mac,
                next_hop_mac,
                mtu: via.mtu_through(port),
                source: via.source,
                next_hop: via.next_hop,
            }),
            None => Reach::Unresolved {
                interface: port.name.clone(),
                next_hop: via.next_hop,
            },
        })
    }

    /// The next hop on the way to an address, and where news of it are told.
    pub(super) fn watch(&self, address: Ipv4Addr) -> Option<(NextHop, Arc<Notify>)> {
        let Some(Route::Via(via)) = self.routes.get(&address) else {
            return None;
        };
        let hop = via.hop();
        let news = self.watched.get(&hop)?;
        Some((hop, Arc::clone(news)))
    }

    /// Whether there is still reason to wait for news of this next hop.
    pub(super) fn is_unresolved(&self, hop: NextHop) -> bool {
        let watched = self.watched.contains_key(&hop);
        watched && self.neighbours.get(&hop).is_some_and(|n| n.mac().is_none())
    }

    /// Whether this next hop was set by hand or by the driver.
    pub(super) fn is_fixed(&self, hop: NextHop) -> bool {
        let neighbour = self.neighbours.get(&hop);
        neighbour.is_some_and(|n| n.standing() == Standing::Fixed)
    }

    pub(super) fn learn_route(&mut self, generation: u64, address: Ipv4Addr, route: Route) {
        if generation == self.generation {
            self.routes.insert(address, route);
        }
    }

    pub(super) fn learn_link(&mut self, generation: u64, port: Port) {
        if generation == self.generation {
            self.links.insert(port.interface, port);
        }
    }

    pub(super) fn learn_neighbour(&mut self, generation: u64, hop: NextHop, it: Neighbour) {
        if generation == self.generation {
            // What was heard since is newer.
            self.neighbours.entry(hop).or_insert(it);
        }
    }

    /// Takes in what the kernel announced.
    pub(super) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Link(port) => {
                if self.links.get(&port.interface) != Some(&port) {
                    self.links.insert(port.interface, port);
                    self.change.links = true;
                    self.recall_and_settle(EVERYWHERE, now);
                }
            }
            Event::LinkGone(index) => {
                self.links.remove(&index);
                self.change.links = true;
                self.recall_and_settle(EVERYWHERE, now);
            }
            Event::Address => {
                self.change.addresses = true;
                self.recall_and_settle(EVERYWHERE, now);
            }
            Event::Route(span) => {
                self.change.routes = true;
                self.recall_and_settle(span, now);
            }
            Event::Neighbour(hop, neighbour) => self.note(hop, Some(neighbour)),
            Event::NeighbourGone(hop) => self.note(hop, None),
        }
    }

    fn note(&mut self, hop: NextHop, neighbour: Option<Neighbour>) {
        let watcher = self.watched.get(&hop);
        let before = match (neighbour, watcher) {
            (Some(neighbour), _) => self.neighbours.insert(hop, neighbour),
            // Known to be unknown: an older answer that is still under way must not be learnt.
            (None, Some(_)) => self.neighbours.insert(hop, Neighbour::default()),
            (None, None) => self.neighbours.remove(&hop),
        };
        let mac = |neighbour: Option<Neighbour>| neighbour.and_then(|n| n.mac());
        if mac(before) != mac(neighbour) {
            self.change.neighbours = true;
            self.change.answers |= watcher.is_some();
        }
        if let Some(watcher) = watcher {
            watcher.notify_waiters();
        }
    }

    /// Starts again from what the kernel has now.
    pub(super) fn replace(&mut self, links: Vec<Port>, neighbours: Vec<(NextHop, Neighbour)>) {
        self.recall(&EVERYWHERE);
        let generation = self.generation;
        *self = Self {
            generation,
            change: Change::EVERYTHING,
            ..Self::new(links, neighbours)
        };
    }

    fn recall_and_settle(&mut self, span: Span, now: Instant) {
        self.recall(&span);
        self.settling.push_back((now + SETTLING, span));
    }

    /// Forgets routes, and tells those who know them.
    fn recall(&mut self, span: &Span) {
        self.generation += 1;
        if *span == EVERYWHERE {
            self.change.answers |= !self.routes.is_empty();
            self.routes.clear();
            for watcher in mem::take(&mut self.watched).into_values() {
                watcher.notify_waiters();
            }
            return;
        }
        let addresses: Vec<_> = self.routes.range(span.clone()).map(|(a, _)| *a).collect();
        for address in addresses {
            self.change.answers = true;
            if let Some(Route::Via(via)) = self.routes.remove(&address)
                && let Some(watcher) = self.watched.get(&via.hop())
            {
                watcher.notify_waiters();
            }
        }
    }

    /// When [`Self::settle`] has something to do.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        self.settling.front().map(|(when, _)| *when)
    }

    /// Recalls what was asked while the kernel was at work.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some((when, _)) = self.settling.front()
            && *when <= now
        {
            if let Some((_, span)) = self.settling.pop_front() {
                self.change.routes = true;
                self.recall(&span);
            }
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.change != Change::default()
    }

    pub(super) fn take_change(&mut self) -> Option<Change> {
        self.is_changed().then(|| mem::take(&mut self.change))
    }
}

impl Via {
    fn hop(&self) -> NextHop {
        NextHop {
            interface: self.interface,
            address: self.next_hop,
        }
    }

    fn mtu_through(&self, port: &Port) -> u16 {
        let of_route = self.mtu.and_then(|mtu| u16::try_from(mtu).ok());
        of_route.map_or(port.mtu, |mtu| mtu.min(port.mtu))
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::neighbour::NeighbourState::{self, Failed, Reachable, Stale};

    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const HOP: NextHop = NextHop {
        interface: 3,
        address: SERVER,
    };
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

    fn port() -> Port {
        Port {
            interface: HOP.interface,
            name: "eth0".to_owned(),
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
            up: true,
            carrier: true,
            ethernet: true,
            kind: String::new(),
        }
    }

    fn route() -> Route {
        Route::Via(Via {
            interface: HOP.interface,
            next_hop: SERVER,
            source: Ipv4Addr::new(10, 0, 0, 1),
            mtu: None,
        })
    }

    fn is_now(state: NeighbourState, mac: [u8; 6]) -> Event {
        Event::Neighbour(HOP, Neighbour::new(state, mac))
    }

    /// Tables in which the server is reached.
    fn tables() -> Tables {
        let neighbour = Neighbour::new(Reachable, MAC);
        let mut tables = Tables::new(vec![port()], vec![(HOP, neighbour)]);
        assert_eq!(tables.look_up(SERVER), (Step::AskRoute, 0));
        tables.learn_route(0, SERVER, route());
        assert_eq!(mac(&mut tables), Some(MAC));
        tables
    }

    fn mac(tables: &mut Tables) -> Option<[u8; 6]> {
        match tables.look_up(SERVER).0 {
            Step::Known(Reach::Hop(hop)) => Some(hop.next_hop_mac),
            _ => None,
        }
    }

    #[test]
    fn a_neighbour_that_only_changes_its_state_is_no_news() {
        let mut tables = tables();
        tables.apply(is_now(Stale, MAC), Instant::now());
        assert_eq!(tables.take_change(), None);

        tables.apply(is_now(Stale, OTHER_MAC), Instant::now());
        let change = tables.take_change().unwrap();
        assert!(change.neighbours && change.answers);
        assert_eq!(mac(&mut tables), Some(OTHER_MAC));

        tables.apply(is_now(Failed, OTHER_MAC), Instant::now());
        assert!(tables.take_change().unwrap().answers);
        assert_eq!(mac(&mut tables), None);
    }

    #[test]
    fn a_neighbour_that_nobody_asked_about_changes_no_answers() {
        let mut tables = Tables::new(vec![port()], vec![]);
        tables.apply(is_now(Reachable, MAC), Instant::now());
        let change = tables.take_change().unwrap();
        assert!(change.neighbours && !change.answers);
    }

    #[test]
    fn a_route_recalls_the_answers_that_it_concerns() {
        let mut tables = tables();
        let elsewhere = Ipv4Addr::new(10, 9, 0, 0)..=Ipv4Addr::new(10, 9, 255, 255);
        tables.apply(Event::Route(elsewhere), Instant::now());
        let change = tables.take_change().unwrap();
        assert!(change.routes && !change.answers);
        assert_eq!(mac(&mut tables), Some(MAC));

        let here = Ipv4Addr::new(10, 0, 0, 0)..=Ipv4Addr::new(10, 0, 0, 255);
        tables.apply(Event::Route(here), Instant::now());
        assert!(tables.take_change().unwrap().answers);
        assert_eq!(tables.look_up(SERVER).0, Step::AskRoute);
    }

    #[test]
    fn what_was_asked_before_a_change_is_not_learnt_after_it() {
        let mut tables = tables();
        let (_, generation) = tables.look_up(SERVER);
        tables.apply(Event::Address, Instant::now());
        tables.learn_route(generation, SERVER, route());
        assert_eq!(tables.look_up(SERVER).0, Step::AskRoute);
    }

    #[test]
    fn what_was_asked_right_after_an_announcement_is_recalled_again() {
        let mut tables = tables();
        let now = Instant::now();
        let down = Port {
            up: false,
            ..port()
        };
        tables.apply(Event::Link(down), now);
        tables.take_change();
        let (_, generation) = tables.look_up(SERVER);
        tables.learn_route(generation, SERVER, route());

        tables.settle(now);
        assert_eq!(tables.take_change(), None);
        let when = tables.settles_at().unwrap();
        tables.settle(when);
        let change = tables.take_change().unwrap();
        assert!(change.routes && change.answers);
        assert_eq!(tables.look_up(SERVER).0, Step::AskRoute);
        assert_eq!(tables.settles_at(), None);
    }

    #[test]
    fn a_neighbour_that_went_while_it_was_asked_for_stays_unknown() {
        let mut tables = Tables::new(vec![port()], vec![]);
        tables.learn_route(0, SERVER, route());
        let (step, generation) = tables.look_up(SERVER);
        assert_eq!(step, Step::AskNeighbour(HOP));
        tables.apply(Event::NeighbourGone(HOP), Instant::now());
        tables.learn_neighbour(generation, HOP, Neighbour::new(Reachable, MAC));
        assert_eq!(mac(&mut tables), None);
    }

    #[test]
    fn starting_again_tells_everything() {
        let mut tables = tables();
        tables.replace(vec![port()], vec![]);
        assert_eq!(tables.take_change(), Some(Change::EVERYTHING));
        assert_eq!(tables.look_up(SERVER), (Step::AskRoute, 1));
    }

    #[test]
    fn an_interface_that_takes_no_packets_is_named() {
        let mut tables = tables();
        let tunnel = Port {
            ethernet: false,
            name: "tun0".to_owned(),
            kind: "tun".to_owned(),
            ..port()
        };
        tables.learn_link(0, tunnel);
        let why =
            "the route to 10.0.0.2 leaves by tun0, which is not an Ethernet interface (a tun)";
        let none = Reach::None(why.to_owned());
        assert_eq!(tables.look_up(SERVER).0, Step::Known(none));
    }
}
