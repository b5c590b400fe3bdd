//! The cache of the kernel's answers.
//!
//! Nothing here does I/O. A look-up returns the answer or the next question for the kernel
//! ([`Step`]); the caller asks the kernel and brings the answer back. An announcement may come
//! between the question and the answer. Therefore every change that may affect routes begins a
//! new *generation*, and an answer to a question of an older generation is thrown away.
//!
//! Invariant: a route is removed from the cache only together with setting
//! [`Changed::answers`]. So every answer that was given is either still right or was revoked.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    changed::Changed,
    events::Event,
    interfaces::Interface,
    neighbours::{Neighbour, NextHop, Standing},
    reach::{Hop, Reach},
    routes::{EVERYWHERE, Route, Span, Via},
};

/// The kernel announces that an interface went down, or that a route is deleted, before it
/// changes its routing table, and answers questions in between (without a lock since
/// Linux 4.14). So answers from this long after an announcement are revoked once more.
const SETTLING: Duration = Duration::from_millis(200);

/// The kernel's interfaces and neighbours, and routes to those addresses that were asked about.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// By index.
    interfaces: HashMap<u32, Interface>,
    neighbours: HashMap<NextHop, Neighbour>,
    routes: BTreeMap<Ipv4Addr, Route>,
    /// Next hops of `routes` (and perhaps more), each with the tasks that wait for a change of
    /// it.
    watched: HashMap<NextHop, Arc<Notify>>,
    generation: u64,
    /// Routes that will be revoked again, and when.
    settling: VecDeque<(Instant, Span)>,
    changed: Changed,
}

/// How a look-up goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This is the answer.
    Known(Reach),
    /// Ask for the address's route, then look up again.
    AskRoute,
    /// Ask for the interface with this index, then look up again.
    AskInterface(u32),
    /// Ask for this neighbour, then look up again.
    AskNeighbour(NextHop),
}

impl Tables {
    pub(crate) fn new(interfaces: Vec<Interface>, neighbours: Vec<(NextHop, Neighbour)>) -> Self {
        let interfaces = interfaces.into_iter();
        Self {
            interfaces: interfaces.map(|it| (it.index, it)).collect(),
            neighbours: neighbours.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The answer or the next question, and the generation that it belongs to.
    pub(crate) fn look_up(&mut self, address: Ipv4Addr) -> (Step, u64) {
        (self.step(address), self.generation)
    }

    fn step(&mut self, address: Ipv4Addr) -> Step {
        if address.is_loopback() {
            return Step::Known(Reach::Local);
        }
        if address.is_unspecified() {
            // The kernel would answer that this is an address of its own.
            return Step::Known(Reach::None(format!(
                "{address} is not the address of a machine"
            )));
        }
        let via = match self.routes.get(&address) {
            None => return Step::AskRoute,
            Some(Route::Local) => return Step::Known(Reach::Local),
            Some(Route::None(why)) => return Step::Known(Reach::None(why.clone())),
            Some(Route::Via(via)) => via,
        };
        let Some(interface) = self.interfaces.get(&via.interface) else {
            return Step::AskInterface(via.interface);
        };
        if let Some(obstacle) = interface.obstacle() {
            let name = &interface.name;
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
                interface: interface.index,
                interface_name: interface.name.clone(),
                kind: interface.kind.clone(),
                source_mac: interface.mac,
                next_hop_mac,
                mtu: via.mtu_through(interface),
                source: via.source,
                next_hop: via.next_hop,
            }),
            None => Reach::Unresolved {
                interface: interface.index,
                interface_name: interface.name.clone(),
                next_hop: via.next_hop,
            },
        })
    }

    /// The next hop on the way to an address, and what wakes those who wait for a change of it.
    pub(crate) fn watch(&self, address: Ipv4Addr) -> Option<(NextHop, Arc<Notify>)> {
        let Some(Route::Via(via)) = self.routes.get(&address) else {
            return None;
        };
        let hop = via.hop();
        let news = self.watched.get(&hop)?;
        Some((hop, Arc::clone(news)))
    }

    /// Whether it is still worth waiting for this next hop's MAC address.
    pub(crate) fn is_unresolved(&self, hop: NextHop) -> bool {
        let watched = self.watched.contains_key(&hop);
        watched && self.neighbours.get(&hop).is_some_and(|n| n.mac().is_none())
    }

    /// Whether this next hop was set by hand or by the driver.
    pub(crate) fn is_fixed(&self, hop: NextHop) -> bool {
        let neighbour = self.neighbours.get(&hop);
        neighbour.is_some_and(|n| n.standing() == Standing::Fixed)
    }

    pub(crate) fn learn_route(&mut self, generation: u64, address: Ipv4Addr, route: Route) {
        if generation == self.generation {
            self.routes.insert(address, route);
        }
    }

    pub(crate) fn learn_interface(&mut self, generation: u64, interface: Interface) {
        if generation == self.generation {
            self.interfaces.insert(interface.index, interface);
        }
    }

    pub(crate) fn learn_neighbour(&mut self, generation: u64, hop: NextHop, it: Neighbour) {
        if generation == self.generation {
            // What was announced since is newer.
            self.neighbours.entry(hop).or_insert(it);
        }
    }

    /// Takes in what the kernel announced.
    pub(crate) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Interface(interface) => {
                if self.interfaces.get(&interface.index) != Some(&interface) {
                    self.interfaces.insert(interface.index, interface);
                    self.changed.interfaces = true;
                    self.revoke_and_settle(EVERYWHERE, now);
                }
            }
            Event::InterfaceGone(index) => {
                self.interfaces.remove(&index);
                self.changed.interfaces = true;
                self.revoke_and_settle(EVERYWHERE, now);
            }
            Event::Address => {
                self.changed.addresses = true;
                self.revoke_and_settle(EVERYWHERE, now);
            }
            Event::Route(span) => {
                self.changed.routes = true;
                self.revoke_and_settle(span, now);
            }
            Event::Neighbour(hop, neighbour) => self.note(hop, Some(neighbour)),
            Event::NeighbourGone(hop) => self.note(hop, None),
        }
    }

    fn note(&mut self, hop: NextHop, neighbour: Option<Neighbour>) {
        let watcher = self.watched.get(&hop);
        let before = match (neighbour, watcher) {
            (Some(neighbour), _) => self.neighbours.insert(hop, neighbour),
            // Keep an empty entry: an older answer that is still on its way must not replace it.
            (None, Some(_)) => self.neighbours.insert(hop, Neighbour::default()),
            (None, None) => self.neighbours.remove(&hop),
        };
        let mac = |neighbour: Option<Neighbour>| neighbour.and_then(|n| n.mac());
        if mac(before) != mac(neighbour) {
            self.changed.neighbours = true;
            self.changed.answers |= watcher.is_some();
        }
        if let Some(watcher) = watcher {
            watcher.notify_waiters();
        }
    }

    /// Throws the cache away and begins again with the kernel's present state.
    pub(crate) fn replace(
        &mut self,
        interfaces: Vec<Interface>,
        neighbours: Vec<(NextHop, Neighbour)>,
    ) {
        self.revoke(&EVERYWHERE);
        let generation = self.generation;
        *self = Self {
            generation,
            changed: Changed::EVERYTHING,
            ..Self::new(interfaces, neighbours)
        };
    }

    fn revoke_and_settle(&mut self, span: Span, now: Instant) {
        self.revoke(&span);
        self.settling.push_back((now + SETTLING, span));
    }

    /// Revokes the answers for these addresses, and wakes those who wait for their next hops.
    fn revoke(&mut self, span: &Span) {
        self.generation += 1;
        if *span == EVERYWHERE {
            self.changed.answers |= !self.routes.is_empty();
            self.routes.clear();
            for watcher in mem::take(&mut self.watched).into_values() {
                watcher.notify_waiters();
            }
            return;
        }
        let addresses: Vec<_> = self.routes.range(span.clone()).map(|(a, _)| *a).collect();
        for address in addresses {
            self.changed.answers = true;
            if let Some(Route::Via(via)) = self.routes.remove(&address)
                && let Some(watcher) = self.watched.get(&via.hop())
            {
                watcher.notify_waiters();
            }
        }
    }

    /// When [`Self::settle`] has something to do.
    pub(crate) fn settles_at(&self) -> Option<Instant> {
        self.settling.front().map(|(when, _)| *when)
    }

    /// Revokes what was answered while the kernel was still changing its tables.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some((when, _)) = self.settling.front()
            && *when <= now
        {
            if let Some((_, span)) = self.settling.pop_front() {
                self.changed.routes = true;
                self.revoke(&span);
            }
        }
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed != Changed::default()
    }

    pub(crate) fn take_changed(&mut self) -> Option<Changed> {
        self.is_changed().then(|| mem::take(&mut self.changed))
    }
}

impl Via {
    fn hop(&self) -> NextHop {
        NextHop {
            interface: self.interface,
            address: self.next_hop,
        }
    }

    fn mtu_through(&self, interface: &Interface) -> u16 {
        let of_route = self.mtu.and_then(|mtu| u16::try_from(mtu).ok());
        of_route.map_or(interface.mtu, |mtu| mtu.min(interface.mtu))
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

    fn interface() -> Interface {
        Interface {
            index: HOP.interface,
            name: "eth0".to_owned(),
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
            up: true,
            carrier: true,
            ethernet: true,
            kind: String::new(),
            below: None,
            member_of: None,
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
        let mut tables = Tables::new(vec![interface()], vec![(HOP, neighbour)]);
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
        assert_eq!(tables.take_changed(), None);

        tables.apply(is_now(Stale, OTHER_MAC), Instant::now());
        let changed = tables.take_changed().unwrap();
        assert!(changed.neighbours && changed.answers);
        assert_eq!(mac(&mut tables), Some(OTHER_MAC));

        tables.apply(is_now(Failed, OTHER_MAC), Instant::now());
        assert!(tables.take_changed().unwrap().answers);
        assert_eq!(mac(&mut tables), None);
    }

    #[test]
    fn a_neighbour_that_nobody_asked_about_changes_no_answers() {
        let mut tables = Tables::new(vec![interface()], vec![]);
        tables.apply(is_now(Reachable, MAC), Instant::now());
        let changed = tables.take_changed().unwrap();
        assert!(changed.neighbours && !changed.answers);
    }

    #[test]
    fn a_route_recalls_the_answers_that_it_concerns() {
        let mut tables = tables();
        let elsewhere = Ipv4Addr::new(10, 9, 0, 0)..=Ipv4Addr::new(10, 9, 255, 255);
        tables.apply(Event::Route(elsewhere), Instant::now());
        let changed = tables.take_changed().unwrap();
        assert!(changed.routes && !changed.answers);
        assert_eq!(mac(&mut tables), Some(MAC));

        let here = Ipv4Addr::new(10, 0, 0, 0)..=Ipv4Addr::new(10, 0, 0, 255);
        tables.apply(Event::Route(here), Instant::now());
        assert!(tables.take_changed().unwrap().answers);
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
        let down = Interface {
            up: false,
            ..interface()
        };
        tables.apply(Event::Interface(down), now);
        tables.take_changed();
        let (_, generation) = tables.look_up(SERVER);
        tables.learn_route(generation, SERVER, route());

        tables.settle(now);
        assert_eq!(tables.take_changed(), None);
        let when = tables.settles_at().unwrap();
        tables.settle(when);
        let changed = tables.take_changed().unwrap();
        assert!(changed.routes && changed.answers);
        assert_eq!(tables.look_up(SERVER).0, Step::AskRoute);
        assert_eq!(tables.settles_at(), None);
    }

    #[test]
    fn a_neighbour_that_went_while_it_was_asked_for_stays_unknown() {
        let mut tables = Tables::new(vec![interface()], vec![]);
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
        tables.replace(vec![interface()], vec![]);
        assert_eq!(tables.take_changed(), Some(Changed::EVERYTHING));
        assert_eq!(tables.look_up(SERVER), (Step::AskRoute, 1));
    }

    #[test]
    fn an_interface_that_takes_no_packets_is_named() {
        let mut tables = tables();
        let tunnel = Interface {
            ethernet: false,
            name: "tun0".to_owned(),
            kind: "tun".to_owned(),
            ..interface()
        };
        tables.learn_interface(0, tunnel);
        let why =
            "the route to 10.0.0.2 leaves by tun0, which is not an Ethernet interface (a tun)";
        let none = Reach::None(why.to_owned());
        assert_eq!(tables.look_up(SERVER).0, Step::Known(none));
    }
}
