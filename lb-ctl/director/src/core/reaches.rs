//! How the addresses of servers are reached, as far as is known.

use std::{collections::BTreeMap, net::IpAddr};

use lb_network::{Hop, Reach};

use super::{
    probing::Probing,
    told::{Level, Told, first},
};

/// What is known of the servers' addresses.
#[derive(Clone, Debug, Default)]
pub struct Reaches {
    known: BTreeMap<IpAddr, Known>,
    /// When their next hops are probed.
    probing: Probing,
}

#[derive(Clone, Debug)]
struct Known {
    reach: Reach,
    /// The next hop does not answer any more, and `reach` is how it was reached last. Packets
    /// still go there, because the kernel forgets neighbours that are well, too.
    silent: bool,
}

impl Reaches {
    /// How an address is reached, as far as is known.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Reach {
        self.known.get(&address).map_or_else(
            || Reach::None("not looked up yet".to_owned()),
            |known| known.reach.clone(),
        )
    }

    /// True where something is known of the address.
    #[must_use]
    pub fn knows(&self, address: IpAddr) -> bool {
        self.known.contains_key(&address)
    }

    /// True where the address is the director's own.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        let known = self.known.get(&address);
        known.is_some_and(|known| known.reach == Reach::Local)
    }

    /// True where an address was reached once and its next hop has fallen silent.
    #[must_use]
    pub fn is_silent(&self, address: IpAddr) -> bool {
        self.known.get(&address).is_some_and(|known| known.silent)
    }

    /// All addresses of which something is known.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.known.keys().copied().collect()
    }

    /// Learns how addresses are reached that were not known. Some of those that do not answer now
    /// were reached as `remembered` before the daemon started: packets still go there.
    pub fn learn(
        &mut self,
        remembered: Vec<(IpAddr, Reach)>,
        found: Vec<(IpAddr, Reach)>,
    ) -> Vec<Told> {
        for (address, reach) in remembered {
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        let (known, new): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(address, _)| self.knows(*address));
        let (_, mut lines) = self.update(known);
        let mut unreached = Vec::new();
        for (address, reach) in new {
            if !reach.is_known() {
                unreached.push(format!("server {address} cannot be reached yet: {reach}"));
            }
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        let unreached = first(unreached, "and", "more servers cannot be reached yet");
        lines.extend(Told::lines(Level::Warn, unreached));
        lines
    }

    /// Takes in how addresses are reached now; gives those that are reached otherwise than
    /// before.
    pub fn update(&mut self, found: Vec<(IpAddr, Reach)>) -> (Vec<(IpAddr, Reach)>, Vec<Told>) {
        let (mut changed, mut lines, mut fallen) = (Vec::new(), Vec::new(), Vec::new());
        for (address, reach) in found {
            let Some(known) = self.known.get(&address) else {
                continue;
            };
            let silent = is_same_hop_fallen_silent(&known.reach, &reach);
            if silent == known.silent && (silent || reach == known.reach) {
                continue;
            }
            if silent {
                fallen.push(format!(
                    "server {address}: {reach}; packets go where they went before"
                ));
                let reach = known.reach.clone();
                self.note(address, Known { reach, silent });
                continue;
            }
            if is_other_way(&known.reach, &reach) {
                lines.push(format!("server {address}: {reach}"));
                changed.push((address, reach.clone()));
            }
            self.note(address, Known { reach, silent });
        }
        let fallen = first(fallen, "and", "more servers do not answer any more");
        let lines = first(
            lines,
            "and",
            "more servers are reached otherwise than before",
        );
        let fallen = Told::lines(Level::Warn, fallen);
        let all = fallen.into_iter().chain(Told::lines(Level::Info, lines));
        (changed, all.collect())
    }

    /// Forgets an address.
    pub fn forget(&mut self, address: IpAddr) {
        if let Some(known) = self.known.remove(&address) {
            self.probing.leave(address, &known.reach);
        }
    }

    fn note(&mut self, address: IpAddr, known: Known) {
        if let Some(before) = self.known.get(&address) {
            self.probing.leave(address, &before.reach);
        }
        self.probing.note(address, &known.reach, known.silent);
        self.known.insert(address, known);
    }

    /// An address behind each next hop that is to be probed now. To be called every 100 ms.
    pub fn due(&mut self) -> Vec<IpAddr> {
        self.probing.due()
    }
}

/// False where only the interface's name has changed, which packets do not notice.
fn is_other_way(before: &Reach, now: &Reach) -> bool {
    match (before, now) {
        (Reach::Hop(before), Reach::Hop(now)) => {
            let interface_name = before.interface_name.clone();
            let renamed = Hop {
                interface_name,
                ..now.clone()
            };
            *before != renamed
        }
        _ => before != now,
    }
}

fn is_same_hop_fallen_silent(before: &Reach, now: &Reach) -> bool {
    match (before, now) {
        (
            Reach::Hop(hop),
            Reach::Unresolved {
                interface,
                next_hop,
                ..
            },
        ) => hop.interface == *interface && hop.next_hop == *next_hop,
        _ => false,
    }
}
