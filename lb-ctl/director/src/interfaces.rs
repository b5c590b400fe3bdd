//! The interfaces whose packets are handled: the XDP program is attached to those that are desired,
//! and to those that are needed besides. They are followed when they get another name, and attached
//! again when they went away and came back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lb_dataplane::{Dataplane, Interface, LinkError, Mode};
use lb_network::{Routing, offload};

use crate::{options::ModeChoice, troubles::Troubles};

/// The kind of troubles with interfaces.
pub const INTERFACES: &str = "interfaces";

/// How long the program stays attached to an interface after its need is over, unless there are no
/// connections. Without the program, packets of established connections would reach the kernel's
/// network stack, which answers them with a reset; and most needs come back: a route that moves, an
/// address or a server that is replaced. As long as an idle TCP connection lives by default.
const LINGER: Duration = Duration::from_secs(900);

/// The interfaces whose packets are handled.
pub struct Interfaces {
    /// Those that are desired, as they were called then, with the index of each that exists.
    wanted: Vec<(String, Option<u32>)>,
    /// What a daemon before this one called those that it attached to.
    remembered: BTreeMap<String, u32>,
    /// What the daemon before this one was told to attach to.
    known: BTreeSet<String>,
    /// Those that are needed besides, by index.
    needed: BTreeMap<u32, Needed>,
    /// Those that the program is attached to, by index.
    attached: BTreeMap<u32, Attached>,
    choice: ModeChoice,
    routing: Arc<Routing>,
}

/// An interface that is needed, or was until a while ago.
struct Needed {
    because: String,
    /// When the need was over, if it is.
    over: Option<Instant>,
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// What it is called now.
    pub name: String,
    /// How the program is attached.
    pub mode: Mode,
}

/// An interface as `stats` shows it.
pub struct Shown<'a> {
    /// What it is called now, if it exists.
    pub name: &'a str,
    /// What the configuration calls it, where that is another name.
    pub configured: Option<&'a str>,
    /// True if the program is attached.
    pub attached: bool,
    /// How, if that is known.
    pub mode: Option<Mode>,
    /// Why the program is attached although nobody named it.
    pub because: Option<&'a str>,
}

impl<'a> Shown<'a> {
    /// One that the program is attached to, nobody knows how.
    pub fn attached(name: &'a str) -> Self {
        Self {
            name,
            configured: None,
            attached: true,
            mode: None,
            because: None,
        }
    }
}

/// What the kernel says of interfaces.
#[derive(Debug)]
pub struct Found {
    /// The indices of those that are desired.
    indices: HashMap<String, u32>,
    /// All Ethernet interfaces.
    all: Vec<lb_network::Interface>,
}

impl Interfaces {
    /// None yet. A daemon before this one may have been told to attach to these, and have attached
    /// to some, which it called so.
    pub fn new(
        choice: ModeChoice,
        routing: Arc<Routing>,
        known: BTreeSet<String>,
        remembered: BTreeMap<String, u32>,
    ) -> Self {
        Self {
            wanted: Vec::new(),
            remembered,
            known,
            needed: BTreeMap::new(),
            attached: BTreeMap::new(),
            choice,
            routing,
        }
    }

    /// Those that the program is attached to, by index.
    pub fn attached(&self) -> &BTreeMap<u32, Attached> {
        &self.attached
    }

    /// The desired ones that exist, by index.
    pub fn wanted(&self) -> Vec<u32> {
        self.wanted.iter().filter_map(|(_, index)| *index).collect()
    }

    /// All that are desired or needed.
    pub fn shown(&self) -> Vec<Shown<'_>> {
        let attached = |index: u32| self.attached.get(&index);
        let wanted = self.wanted.iter().map(|(name, index)| {
            let there = index.and_then(attached);
            let now = there.map_or(name, |there| &there.name);
            Shown {
                name: now,
                configured: (now != name).then_some(name),
                attached: there.is_some(),
                mode: there.map(|there| there.mode),
                because: None,
            }
        });
        let needed = self.needed.iter().filter_map(|(&index, needed)| {
            let there = attached(index)?;
            Some(Shown {
                name: &there.name,
                configured: None,
                attached: true,
                mode: Some(there.mode),
                because: Some(&needed.because),
            })
        });
        wanted.chain(needed).collect()
    }

    /// The desired ones that exist: index by name.
    pub fn bindings(&self) -> BTreeMap<String, u32> {
        let wanted = self.wanted.iter();
        wanted
            .filter_map(|(name, index)| Some((name.clone(), (*index)?)))
            .collect()
    }

    /// Asks the kernel for interfaces; an error where one does not exist that was not desired before.
    /// One that was is missing, and attached to when it comes back. A name means the interface
    /// that the packet path is attached to under it, also where that one is called otherwise now,
    /// unless its new name is among the names, too.
    pub async fn look_up(&self, names: &[String]) -> Result<Found> {
        let all = self.routing.interfaces().await?;
        let mut indices = HashMap::new();
        for name in names {
            let called_so = self.routing.index(name).await?;
            let renamed = self.renamed(name, names, called_so, &all);
            match renamed.or(called_so) {
                Some(index) => drop(indices.insert(name.clone(), index)),
                None if self.is_known(name) => {}
                None => {
                    bail!("interface {name} does not exist; see `ip -brief link` for those that do")
                }
            }
        }
        Ok(Found { indices, all })
    }

    /// True for an interface that was desired before, also by an earlier daemon.
    fn is_known(&self, name: &str) -> bool {
        self.wanted.iter().any(|(wanted, _)| wanted == name) || self.known.contains(name)
    }

    /// The interface that had this name when the packet path was attached to it, and has another
    /// one now.
    fn renamed(
        &self,
        name: &str,
        names: &[String],
        called_so: Option<u32>,
        all: &[lb_network::Interface],
    ) -> Option<u32> {
        let bound = self.wanted.iter().find(|(wanted, _)| wanted == name);
        let bound = bound.and_then(|(_, index)| *index);
        let index = bound.or_else(|| self.remembered.get(name).copied())?;
        let now = &all.iter().find(|known| known.index == index)?.name;
        if now == name || names.contains(now) {
            return None;
        }
        match called_so {
            None => tracing::warn!(
                "interface {name} does not exist: it is called {now} now, and the XDP program \
                 stays attached to it; correct the name in the file"
            ),
            Some(other) => tracing::warn!(
                "interface {name} is called {now} now, and the XDP program stays attached to it; \
                 the one that is called {name} since (index {other}) is not meant. Correct the \
                 name in the file; `interfaces: [{now}, {name}]` means both"
            ),
        }
        Some(index)
    }

    /// Attaches to these interfaces, which were looked up: to all of them, or where that fails to
    /// no new one. What is no longer desired stays attached until [`Self::need`] says that it is
    /// not needed either.
    pub fn set(
        &mut self,
        dataplane: &mut Dataplane,
        names: &[String],
        found: &Found,
    ) -> Result<()> {
        let new: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name, *found.indices.get(name)?)))
            .filter(|(_, index)| !self.attached.contains_key(index))
            .map(|(name, index)| {
                let now = found.all.iter().find(|known| known.index == index);
                (now.map_or(name, |known| &known.name).clone(), index)
            })
            .collect();
        self.attach(dataplane, &new, &found.all)?;
        let bound = |name: &String| (name.clone(), found.indices.get(name).copied());
        self.wanted = names.iter().map(bound).collect();
        // From now on, a name that is new means whichever interface has it.
        self.remembered.clear();
        self.known.clear();
        Ok(())
    }

    /// Attaches to what is needed besides, by index, with the reason; and detaches from what is
    /// neither desired nor needed.
    pub fn need(
        &mut self,
        dataplane: &mut Dataplane,
        needed: &BTreeMap<u32, String>,
        all: &[lb_network::Interface],
        troubles: &mut Troubles,
    ) -> Result<()> {
        let wanted = self.wanted();
        let wanted = |index: u32| wanted.contains(&index);
        self.needed.retain(|&index, _| !wanted(index));
        for (index, its) in &mut self.needed {
            match needed.contains_key(index) {
                true => its.over = None,
                false => its.over = its.over.or_else(|| Some(Instant::now())),
            }
        }
        let new = needed.iter().filter(|&(&index, _)| !wanted(index));
        for (&index, because) in new {
            let (because, over) = (because.clone(), None);
            self.needed.insert(index, Needed { because, over });
        }
        self.let_go(dataplane);
        let needed = &self.needed;
        let surplus: Vec<u32> = dataplane
            .attached()?
            .into_iter()
            .filter(|&index| !wanted(index) && !needed.contains_key(&index))
            .collect();
        for index in surplus {
            let name = self.attached.remove(&index).map(|it| it.name);
            let name = name.unwrap_or_else(|| name_of(index, all));
            dataplane.detach(index)?;
            tracing::info!("{name}: XDP program detached");
        }
        self.reattach(dataplane, all, troubles);
        Ok(())
    }

    /// Forgets needs that have been over for long enough. True if there were any: then
    /// [`Self::need`] detaches from these interfaces.
    pub fn let_go(&mut self, dataplane: &Dataplane) -> bool {
        let over = |its: &Needed| its.over.map(|over| over.elapsed());
        if self.needed.values().all(|its| over(its).is_none()) {
            return false;
        }
        let linger = match dataplane.view().has_connections() {
            true => LINGER,
            false => Duration::ZERO,
        };
        let before = self.needed.len();
        self.needed
            .retain(|_, its| over(its).is_none_or(|over| over < linger));
        self.needed.len() < before
    }

    fn attach(
        &mut self,
        dataplane: &mut Dataplane,
        interfaces: &[(String, u32)],
        all: &[lb_network::Interface],
    ) -> Result<()> {
        tell(dataplane, all)?;
        let generic = self.attached.values().any(|it| it.mode == Mode::Generic);
        let modes: &[Mode] = match self.choice {
            ModeChoice::Only(mode) => &[mode],
            // From native to generic, most drivers would send nothing.
            ModeChoice::Auto if generic => &[Mode::Generic],
            ModeChoice::Auto if native_serves(interfaces, all) => &[Mode::Native, Mode::Generic],
            ModeChoice::Auto => &[Mode::Generic],
        };
        let mut outcome = Ok(());
        for &mode in modes {
            outcome = self.attach_all(dataplane, interfaces, mode, all);
            match &outcome {
                Ok(()) => break,
                Err(error) => tracing::debug!("{} mode: {error:#}", mode.name()),
            }
        }
        outcome
    }

    fn attach_all(
        &mut self,
        dataplane: &mut Dataplane,
        interfaces: &[(String, u32)],
        mode: Mode,
        all: &[lb_network::Interface],
    ) -> Result<()> {
        let before = dataplane.attached()?;
        for (done, (name, index)) in interfaces.iter().enumerate() {
            if let Err(error) = dataplane.attach(name, *index, mode) {
                for (_, index) in &interfaces[..done] {
                    if !before.contains(index) {
                        dataplane.detach(*index)?;
                        self.attached.remove(index);
                    }
                }
                return Err(error);
            }
            let name = name.clone();
            tracing::info!("{name}: XDP program attached, {} mode", mode.name());
            if mode == Mode::Generic {
                warn_of_merging(*index, all);
            }
            self.attached.insert(*index, Attached { name, mode });
        }
        Ok(())
    }

    /// Interfaces of the machine have changed.
    pub async fn changed(
        &mut self,
        dataplane: &mut Dataplane,
        troubles: &mut Troubles,
    ) -> Result<()> {
        let all = self.routing.interfaces().await?;
        tell(dataplane, &all)?;
        self.follow(dataplane, &all)?;
        self.reattach(dataplane, &all, troubles);
        Ok(())
    }

    /// Follows interfaces that got another name, and gives up those that are gone.
    fn follow(&mut self, dataplane: &mut Dataplane, all: &[lb_network::Interface]) -> Result<()> {
        let mut gone = Vec::new();
        for (&index, attached) in &mut self.attached {
            let Some(now) = all.iter().find(|known| known.index == index) else {
                gone.push(index);
                continue;
            };
            if now.name != attached.name {
                let before = std::mem::replace(&mut attached.name, now.name.clone());
                tracing::warn!(
                    "{before} is called {} now: the XDP program stays attached to it",
                    now.name
                );
            }
        }
        for index in gone {
            if let Some(Attached { name, .. }) = self.attached.remove(&index) {
                tracing::warn!("{name} went away");
            }
            dataplane.detach(index)?;
        }
        // Also where an audit has found its link dead, before anybody said that it is gone.
        let exists = |index: u32| all.iter().any(|known| known.index == index);
        self.needed.retain(|&index, _| exists(index));
        for (_, its) in &mut self.wanted {
            its.take_if(|its| !exists(*its));
        }
        Ok(())
    }

    /// Attaches to interfaces that are desired or needed and are not attached: they are new, went
    /// away and came back, or somebody detached them. What fails is tried again.
    fn reattach(
        &mut self,
        dataplane: &mut Dataplane,
        all: &[lb_network::Interface],
        troubles: &mut Troubles,
    ) {
        let mut failing = BTreeMap::new();
        for place in 0..self.wanted.len() {
            let (name, index) = self.wanted[place].clone();
            if index.is_some_and(|index| self.attached.contains_key(&index)) {
                continue;
            }
            let called_so = all.iter().find(|known| known.name == name);
            let Some(now) = index.or(called_so.map(|known| known.index)) else {
                failing.insert(name.clone(), format!("interface {name} does not exist"));
                continue;
            };
            self.wanted[place].1 = Some(now);
            if let Err(error) = self.attach(dataplane, &[(name_of(now, all), now)], all) {
                failing.insert(name, format!("{error:#}; trying again every second"));
            }
        }
        let attached = &self.attached;
        let missing = self.needed.iter().filter(|&(index, its)| {
            // A need that is over is no reason to attach anew.
            its.over.is_none() && !attached.contains_key(index)
        });
        let missing: Vec<_> = missing
            .map(|(&index, its)| (index, its.because.clone()))
            .collect();
        for (index, because) in missing {
            let name = name_of(index, all);
            match self.attach(dataplane, &[(name.clone(), index)], all) {
                Ok(()) => {
                    tracing::info!("{name} is not in `interfaces`, but {because}: attached to it");
                }
                Err(error) => {
                    let why = format!("{because}: {error:#}; trying again every second");
                    failing.insert(name, why);
                }
            }
        }
        troubles.set(INTERFACES, failing);
    }

    /// Repairs links that somebody has changed, and attaches anew where that is not possible.
    pub async fn audit(
        &mut self,
        dataplane: &mut Dataplane,
        troubles: &mut Troubles,
    ) -> Result<()> {
        let mut unpinned = Ok(());
        for (index, Attached { name, .. }) in self.attached.clone() {
            match dataplane.repair_link(&name, index) {
                Ok(()) => {}
                Err(LinkError::Unpinned(error)) => unpinned = Err(error.context(name)),
                // Somebody detached it, or the interface is gone, and perhaps back.
                Err(LinkError::Dead(error)) => {
                    tracing::warn!("{name}: {error:#}: attaching anew");
                    dataplane.detach(index)?;
                    self.attached.remove(&index);
                }
            }
        }
        let missing = |index: &u32| !self.attached.contains_key(index);
        let wanted = self.wanted.iter();
        if wanted
            .clone()
            .any(|(_, index)| index.is_none_or(|index| missing(&index)))
            || self
                .needed
                .iter()
                .any(|(index, its)| its.over.is_none() && missing(index))
        {
            let all = self.routing.interfaces().await?;
            self.follow(dataplane, &all)?;
            self.reattach(dataplane, &all, troubles);
        }
        unpinned
    }
}

/// What an interface is called.
pub fn name_of(index: u32, all: &[lb_network::Interface]) -> String {
    let known = all.iter().find(|known| known.index == index);
    known.map_or_else(
        || format!("the interface with index {index}"),
        |known| known.name.clone(),
    )
}

/// In generic mode, the program sees packets after the driver of the interface, or of one below it,
/// has merged them.
fn warn_of_merging(index: u32, all: &[lb_network::Interface]) {
    let interface = all.iter().find(|known| known.index == index);
    let below = |other: &&lb_network::Interface| {
        other.index == index
            || other.member_of == Some(index)
            || interface.is_some_and(|it| it.below == Some(other.index))
    };
    let merging: Vec<_> = all
        .iter()
        .filter(below)
        .filter(|it| offload::merges(&it.name).unwrap_or(false))
        .map(|it| format!("`ethtool -K {} gro off`", it.name))
        .collect();
    if !merging.is_empty() {
        tracing::warn!(
            "{}: in generic mode, packets that the machine has merged (GRO) are dropped as \
             `merged`: turn that off by {}",
            name_of(index, all),
            merging.join(" and ")
        );
    }
}

/// All interfaces, as the packet path is told of them. A macvlan's frames come in by the interface
/// below it, a bridge's by its members.
fn told(all: &[lb_network::Interface]) -> Vec<Interface> {
    let one = |interface: &lb_network::Interface| {
        let takes_for = all.iter().filter(|other| {
            other.below == Some(interface.index) || interface.member_of == Some(other.index)
        });
        Interface {
            index: interface.index,
            mac: interface.mac,
            mtu: interface.mtu,
            takes_for: takes_for.map(|other| other.mac).collect(),
        }
    };
    all.iter().map(one).collect()
}

/// Tells the packet path of all interfaces.
fn tell(dataplane: &mut Dataplane, all: &[lb_network::Interface]) -> Result<()> {
    for without in dataplane.set_interfaces(&told(all))? {
        let name = all.iter().find(|known| known.index == without.index);
        tracing::error!(
            "{}: no reply of a NAT server can leave by it, because the indices of too many \
             interfaces have the same lower 16 bits as its own, {}",
            name.map_or("?", |known| &known.name),
            without.index
        );
    }
    Ok(())
}

/// False if native XDP would lose packets: what one end of a veth pair transmits in the driver
/// arrives only if the other end, which may be in any namespace, runs XDP, too; and packets to
/// those behind a bridge cannot be sent by it.
fn native_serves(interfaces: &[(String, u32)], all: &[lb_network::Interface]) -> bool {
    let mut in_question = all
        .iter()
        .filter(|known| interfaces.iter().any(|&(_, index)| index == known.index));
    let is_bridge = |index: u32| {
        let mut bridges = all.iter().filter(|known| known.kind == "bridge");
        bridges.any(|bridge| bridge.index == index)
    };
    in_question.all(|it| it.kind != "veth" && !it.member_of.is_some_and(is_bridge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, below: Option<u32>, member_of: Option<u32>) -> lb_network::Interface {
        lb_network::Interface {
            index,
            name: format!("if{index}"),
            mac: [2, 0, 0, 0, 0, index as u8],
            mtu: 1500,
            up: true,
            carrier: true,
            ethernet: true,
            kind: String::new(),
            below,
            member_of,
        }
    }

    #[test]
    fn native_mode_is_chosen_for_hardware_that_is_in_no_bridge() {
        let mut all = [
            interface(1, None, None),
            interface(2, None, Some(4)),
            interface(3, None, Some(5)),
            interface(4, None, None),
            interface(5, None, None),
            interface(6, None, None),
        ];
        all[3].kind = "bridge".to_owned();
        all[4].kind = "bond".to_owned();
        all[5].kind = "veth".to_owned();
        let serves = |index: u32| native_serves(&[(format!("if{index}"), index)], &all);
        assert_eq!([1, 2, 3, 6].map(serves), [true, false, true, false]);
    }

    #[test]
    fn an_interface_takes_the_frames_of_a_macvlan_above_it_and_of_its_bridge() {
        let all = [
            interface(1, None, Some(3)),
            interface(2, Some(1), None),
            interface(3, None, None),
            interface(4, None, None),
        ];
        let takes_for = told(&all).into_iter().map(|it| it.takes_for);
        let [macvlan, bridge] = [2, 3].map(|last| [2, 0, 0, 0, 0, last]);
        let expected = [vec![macvlan, bridge], vec![], vec![], vec![]];
        assert_eq!(takes_for.collect::<Vec<_>>(), expected);
    }
}
