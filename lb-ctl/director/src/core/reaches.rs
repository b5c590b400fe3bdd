//! How the addresses of servers are reached, as far as is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
};

use lb_model::spelling::count;
use lb_network::{Hop, Reach};

use super::{
    probing::Probing,
    told::{Level, SHOWN, Told, first},
};

/// What is known of the servers' addresses.
#[derive(Clone, Debug, Default)]
pub struct Reaches {
    known: BTreeMap<IpAddr, Known>,
    /// When their next hops are probed.
    probing: Probing,
    /// Those whose standing is not the one that it was when this was taken last: that one.
    turned: BTreeMap<IpAddr, Standing>,
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

    /// True if something is known of the address.
    #[must_use]
    pub fn knows(&self, address: IpAddr) -> bool {
        self.known.contains_key(&address)
    }

    /// True if the address is the director's own.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        let known = self.known.get(&address);
        known.is_some_and(|known| known.reach == Reach::Local)
    }

    /// True if an address was reached once and its next hop has fallen silent.
    #[must_use]
    pub fn is_silent(&self, address: IpAddr) -> bool {
        self.known.get(&address).is_some_and(|known| known.silent)
    }

    /// True if the way to an address is known, and its next hop answers.
    #[must_use]
    pub fn is_reachable(&self, address: IpAddr) -> bool {
        self.known.get(&address).is_some_and(Known::is_reachable)
    }

    /// The addresses that could be reached when this was asked last, and cannot be any more, or
    /// the other way round; and those that have become the director's own, or no longer are.
    pub fn take_turned(&mut self) -> BTreeSet<IpAddr> {
        mem::take(&mut self.turned).into_keys().collect()
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
        wanted: impl Fn(IpAddr) -> bool,
    ) -> Vec<Told> {
        let at_start: Vec<_> = remembered.iter().map(|(address, _)| *address).collect();
        for (address, reach) in remembered {
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        let (known, new): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(address, _)| self.knows(*address));
        let (_, mut lines) = self.update(known, wanted);
        let mut unreached = Vec::new();
        for (address, reach) in new {
            if !reach.is_known() {
                unreached.push(format!("server {address} cannot be reached yet: {reach}"));
            }
            let silent = false;
            self.note(address, Known { reach, silent });
        }
        // What is put into the packet path first is told of it then.
        for address in at_start {
            self.turned.remove(&address);
        }
        let unreached = first(unreached, "and", "server", "cannot be reached yet");
        lines.extend(Told::lines(Level::Warn, unreached));
        lines
    }

    /// Takes in how addresses are reached now; gives those that are reached otherwise than
    /// before, and what the log says of those that are `wanted`.
    pub fn update(
        &mut self,
        found: Vec<(IpAddr, Reach)>,
        wanted: impl Fn(IpAddr) -> bool,
    ) -> (Vec<(IpAddr, Reach)>, Vec<Told>) {
        let (mut changed, mut news) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        let mut tell = |news_of, address: IpAddr, line: String| {
            news.entry(news_of).or_default().push((address, line));
        };
        for (address, reach) in found {
            let Some(known) = self.known.get(&address) else {
                continue;
            };
            let silent = is_same_hop_fallen_silent(&known.reach, &reach);
            if silent == known.silent && (silent || reach == known.reach) {
                continue;
            }
            if silent {
                let line = format!("{reach}; packets are still sent to the previous next hop");
                tell(News::Silent, address, line);
                let reach = known.reach.clone();
                self.note(address, Known { reach, silent });
                continue;
            }
            if is_other_way(&known.reach, &reach) {
                match (reach.is_known(), known.reach.is_known() && !known.silent) {
                    (false, _) => tell(News::Lost, address, reach.to_string()),
                    (true, false) => tell(News::Back, address, format!("answers again, {reach}")),
                    (true, true) => tell(News::Moved, address, reach.to_string()),
                }
                changed.push((address, reach.clone()));
            } else if known.silent {
                tell(News::Back, address, "answers again".to_owned());
            }
            self.note(address, Known { reach, silent });
        }
        let told = news.into_iter().flat_map(|(news, mut lines)| {
            lines.retain(|(address, _)| wanted(*address));
            news.told(&lines)
        });
        (changed, told.collect())
    }

    /// Forgets an address.
    pub fn forget(&mut self, address: IpAddr) {
        if let Some(known) = self.known.remove(&address) {
            self.probing.leave(address, &known.reach);
            self.turned.remove(&address);
        }
    }

    fn note(&mut self, address: IpAddr, known: Known) {
        if let Some(before) = self.known.get(&address) {
            self.probing.leave(address, &before.reach);
            let first = *self.turned.entry(address).or_insert(before.standing());
            if first == known.standing() {
                self.turned.remove(&address);
            }
        }
        self.probing.note(address, &known.reach, known.silent);
        self.known.insert(address, known);
    }

    /// An address behind each next hop that is to be probed now. To be called every 100 ms.
    pub fn due(&mut self) -> Vec<IpAddr> {
        self.probing.due()
    }
}

/// What counts for a server's share of new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unreachable,
    Reachable,
    /// On the director itself.
    Local,
}

impl Known {
    fn is_reachable(&self) -> bool {
        self.standing() != Standing::Unreachable
    }

    fn standing(&self) -> Standing {
        match self.reach {
            _ if self.silent => Standing::Unreachable,
            Reach::Local => Standing::Local,
            Reach::Hop(_) => Standing::Reachable,
            Reach::Unresolved { .. } | Reach::None(_) => Standing::Unreachable,
        }
    }
}

/// What the log tells of servers, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Lost,
    Silent,
    Back,
    Moved,
}

impl News {
    /// A line for each of the first servers, and how many more there are.
    fn told(self, servers: &[(IpAddr, String)]) -> Vec<Told> {
        let (level, what) = match self {
            Self::Lost => (Level::Warn, "cannot be reached any more"),
            Self::Silent => (Level::Warn, "no longer answering"),
            Self::Back => (Level::Info, "answering again"),
            Self::Moved => (Level::Info, "reached by another way than before"),
        };
        let shown = servers.iter().take(SHOWN);
        let mut told: Vec<_> = shown
            .map(|(address, line)| Told::about(level, format!("server {address}"), line))
            .collect();
        if servers.len() > SHOWN {
            let more = count(servers.len() - SHOWN, "more server");
            let line = format!("and {more} {what}");
            told.extend(Told::lines(level, vec![line]));
        }
        told
    }
}

/// False if only the interface's name has changed, which packets do not notice.
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
