//! The interfaces whose packets are handled: the XDP program is attached to them, and attached
//! again when they went away and came back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use anyhow::{Result, anyhow};
use lb_dataplane::{Dataplane, Interface, Mode};
use lb_network::{Reach, Routing};

use crate::{complaints::Complaints, core::Effective, options::ModeChoice};

/// The interfaces whose packets are handled.
pub struct Interfaces {
    /// Those that are desired.
    wanted: Vec<String>,
    /// Those that the program is attached to, with their index and mode.
    attached: BTreeMap<String, (u32, Mode)>,
    choice: ModeChoice,
    routing: Arc<Routing>,
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
    /// None yet.
    pub fn new(choice: ModeChoice, routing: Arc<Routing>) -> Self {
        Self {
            wanted: Vec::new(),
            attached: BTreeMap::new(),
            choice,
            routing,
        }
    }

    /// The mode in which the program is attached to an interface.
    pub fn mode(&self, name: &str) -> Option<Mode> {
        self.attached.get(name).map(|&(_, mode)| mode)
    }

    /// Asks the kernel for interfaces; an error where one does not exist.
    pub async fn look_up(&self, names: &[String]) -> Result<Found> {
        let mut indices = HashMap::new();
        for name in names {
            let index = self.routing.index(name).await?;
            let index = index.ok_or_else(|| {
                anyhow!("interface {name} does not exist; see `ip -brief link` for those that do")
            })?;
            indices.insert(name.clone(), index);
        }
        let all = self.routing.interfaces().await?;
        Ok(Found { indices, all })
    }

    /// Attaches to exactly these interfaces, which were looked up: to all of them, or where that
    /// fails to no new one.
    pub fn set(
        &mut self,
        dataplane: &mut Dataplane,
        names: &[String],
        found: &Found,
    ) -> Result<()> {
        let new: Vec<_> = names
            .iter()
            .filter(|name| !self.attached.contains_key(*name))
            .filter_map(|name| Some((name.clone(), *found.indices.get(name)?)))
            .collect();
        self.attach(dataplane, &new, &found.all)?;
        for index in dataplane.attached()? {
            if !found.indices.values().any(|&wanted| wanted == index) {
                dataplane.detach(index)?;
                tracing::info!("XDP program detached from the interface with index {index}");
            }
        }
        self.attached.retain(|name, _| names.contains(name));
        self.wanted = names.to_vec();
        Ok(())
    }

    fn attach(
        &mut self,
        dataplane: &mut Dataplane,
        interfaces: &[(String, u32)],
        all: &[lb_network::Interface],
    ) -> Result<()> {
        tell(dataplane, all)?;
        let modes: &[Mode] = match self.choice {
            ModeChoice::Only(mode) => &[mode],
            ModeChoice::Auto if native_serves(interfaces, all) => &[Mode::Native, Mode::Generic],
            ModeChoice::Auto => &[Mode::Generic],
        };
        let mut outcome = Ok(());
        for &mode in modes {
            outcome = self.attach_all(dataplane, interfaces, mode);
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
    ) -> Result<()> {
        let before = dataplane.attached()?;
        for (done, (name, index)) in interfaces.iter().enumerate() {
            if let Err(error) = dataplane.attach(name, *index, mode) {
                for (name, index) in &interfaces[..done] {
                    if !before.contains(index) {
                        dataplane.detach(*index)?;
                        self.attached.remove(name);
                    }
                }
                return Err(error);
            }
            self.attached.insert(name.clone(), (*index, mode));
            tracing::info!("{name}: XDP program attached, {} mode", mode.name());
        }
        Ok(())
    }

    /// Interfaces of the machine have changed.
    pub async fn changed(
        &mut self,
        dataplane: &mut Dataplane,
        complaints: &mut Complaints,
    ) -> Result<()> {
        tell(dataplane, &self.routing.interfaces().await?)?;
        self.reattach(dataplane, complaints).await
    }

    /// Attaches to interfaces that went away and came back.
    async fn reattach(
        &mut self,
        dataplane: &mut Dataplane,
        complaints: &mut Complaints,
    ) -> Result<()> {
        for name in self.wanted.clone() {
            let now = self.routing.index(&name).await?;
            let then = self.attached.get(&name).map(|&(index, _)| index);
            if now == then {
                continue;
            }
            if let Some(old) = then {
                tracing::warn!("{name} went away");
                dataplane.detach(old)?;
                self.attached.remove(&name);
            }
            if let Some(new) = now {
                let all = self.routing.interfaces().await?;
                let outcome = self.attach(dataplane, &[(name.clone(), new)], &all);
                complaints.note(&name, outcome);
            }
        }
        Ok(())
    }

    /// Repairs links that somebody has changed, and attaches anew where that is not possible.
    pub async fn audit(
        &mut self,
        dataplane: &mut Dataplane,
        complaints: &mut Complaints,
    ) -> Result<()> {
        for (name, (index, _)) in self.attached.clone() {
            if let Err(error) = dataplane.repair_link(&name, index) {
                // Somebody detached it, or the interface is gone, and perhaps back.
                tracing::warn!("{name}: {error:#}: attaching anew");
                dataplane.detach(index)?;
                self.attached.remove(&name);
            }
        }
        let missing = |name: &String| !self.attached.contains_key(name);
        if self.wanted.iter().any(missing) {
            self.reattach(dataplane, complaints).await?;
        }
        Ok(())
    }

    /// Warns of servers behind other interfaces: native XDP sends only by interfaces whose driver
    /// was told to expect it, which for most drivers means by those that run XDP.
    pub fn warn_of_ways_out(&self, services: &[Effective]) {
        let modes = self.attached.values().map(|&(_, mode)| mode);
        if modes.into_iter().all(|mode| mode == Mode::Generic) {
            return;
        }
        let reaches = services.iter().flat_map(|service| service.reaches.values());
        let ways_out: BTreeSet<_> = reaches
            .filter_map(|reach| match reach {
                Reach::Hop(hop) => Some(&hop.interface_name),
                _ => None,
            })
            .filter(|name| !self.attached.contains_key(*name))
            .collect();
        for name in ways_out {
            tracing::warn!(
                "servers are behind {name}, which is not among `interfaces`: in native mode most \
                 drivers send nothing there; add it"
            );
        }
    }
}

/// Tells the packet path of all interfaces.
fn tell(dataplane: &mut Dataplane, all: &[lb_network::Interface]) -> Result<()> {
    let interfaces = all.iter().map(|interface| {
        // A macvlan's frames come in by the interface below it, a bridge's by its members.
        let takes_for = all.iter().filter(|other| {
            other.below == Some(interface.index) || interface.member_of == Some(other.index)
        });
        Interface {
            index: interface.index,
            mac: interface.mac,
            mtu: interface.mtu,
            takes_for: takes_for.map(|other| other.mac).collect(),
        }
    });
    for without in dataplane.set_interfaces(&interfaces.collect::<Vec<_>>())? {
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

/// False where native XDP would lose packets silently: what one end of a veth pair transmits in
/// the driver arrives only if the other end, which may be in any namespace, runs XDP, too.
fn native_serves(interfaces: &[(String, u32)], all: &[lb_network::Interface]) -> bool {
    let mut in_question = all
        .iter()
        .filter(|known| interfaces.iter().any(|&(_, index)| index == known.index));
    in_question.all(|interface| interface.kind != "veth")
}
