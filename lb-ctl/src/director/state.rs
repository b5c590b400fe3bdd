//! The director: what is desired, and the packet path that does it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::reaches::Reaches;
use crate::{
    dataplane::{Dataplane, attach::Mode},
    desired::{Desired, Method},
    routing::{Change, Reach, Routing},
};

/// How the XDP program is to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeChoice {
    /// Native where every interface can, else generic.
    Auto,
    /// As said.
    Only(Mode),
}

/// A director that runs.
pub struct Director {
    /// What it should do.
    pub desired: Desired,
    /// What does it.
    pub dataplane: Dataplane,
    /// How servers are reached.
    pub reaches: Reaches,
    /// Interfaces that the program is attached to, with their index and mode.
    pub attached: BTreeMap<String, (u32, Mode)>,
    /// Since when.
    pub since: Instant,
    choice: ModeChoice,
    /// What one sweep of the whole table took.
    sweep_cost: Duration,
    swept: Duration,
}

impl Director {
    /// With nothing to do yet but what an adopted packet path does.
    pub fn new(dataplane: Dataplane, routing: Routing, choice: ModeChoice, empty: Desired) -> Self {
        Self {
            desired: empty,
            dataplane,
            reaches: Reaches::new(routing),
            attached: BTreeMap::new(),
            since: Instant::now(),
            choice,
            sweep_cost: Duration::ZERO,
            swept: Duration::ZERO,
        }
    }

    /// Makes the packet path do what is desired, and nothing else. Where that fails, it goes
    /// on with what it did before.
    pub async fn apply(&mut self, desired: Desired) -> Result<()> {
        let interfaces = self.interfaces(&desired).await?;
        let addresses = desired
            .services
            .iter()
            .flat_map(|service| &service.servers)
            .map(|server| server.id.address);
        self.reaches.learn(addresses.clone()).await;
        self.check_methods(&desired)?;
        if let Err(error) = self.put_services(&desired) {
            let before = self.desired.clone();
            self.put_services(&before)
                .context("and the configuration before cannot be restored")?;
            return Err(error);
        }
        self.dataplane.set_timeouts(&desired.timeouts);
        let fresh: Vec<_> = interfaces
            .iter()
            .filter(|(name, _)| !self.attached.contains_key(*name))
            .map(|(name, index)| (name.clone(), *index))
            .collect();
        if let Err(error) = self.attach(&fresh).await {
            let before = self.desired.clone();
            self.put_services(&before)
                .context("and the configuration before cannot be restored")?;
            self.dataplane.set_timeouts(&before.timeouts);
            return Err(error);
        }
        self.detach_others(&interfaces)?;
        self.warn_of_ways_out(&desired);
        let wanted: HashSet<_> = addresses
            .chain(self.dataplane.services.servers.addresses())
            .collect();
        self.reaches.keep(&wanted);
        self.desired = desired;
        Ok(())
    }

    /// Replies of a server on the director itself never meet XDP: there is nothing that could
    /// undo a translation.
    fn check_methods(&self, desired: &Desired) -> Result<()> {
        for service in &desired.services {
            for server in &service.servers {
                let local = self.reaches.get(server.id.address) == Reach::Local;
                if local && server.method != Method::Dr {
                    bail!(
                        "server {} of {}: the address is the director's own, and only DR reaches a \
                         server on the director itself: give it `forward: dr`",
                        server.id,
                        service.id
                    );
                }
            }
        }
        Ok(())
    }

    /// Native XDP sends only by interfaces whose driver was told to expect it, which for most
    /// drivers means: by those that run XDP.
    fn warn_of_ways_out(&self, desired: &Desired) {
        if self
            .attached
            .values()
            .all(|&(_, mode)| mode == Mode::Generic)
        {
            return;
        }
        let ways_out: BTreeSet<_> = desired
            .services
            .iter()
            .flat_map(|service| &service.servers)
            .filter_map(|server| match self.reaches.get(server.id.address) {
                Reach::Hop(hop) => Some(hop.interface_name),
                _ => None,
            })
            .filter(|name| !self.attached.contains_key(name))
            .collect();
        for name in ways_out {
            tracing::warn!(
                "servers are behind {name}, which is not among `interfaces`: in native mode most \
                 drivers send nothing there; add it"
            );
        }
    }

    fn put_services(&mut self, desired: &Desired) -> Result<()> {
        let services = &mut self.dataplane.services;
        for service in &desired.services {
            services.put(service, |address| self.reaches.get(address))?;
        }
        let wanted: HashSet<_> = desired.services.iter().map(|service| service.id).collect();
        for id in services.ids() {
            if !wanted.contains(&id) {
                services.remove(id)?;
            }
        }
        Ok(())
    }

    /// The interfaces that the configuration names, with their index.
    async fn interfaces(&self, desired: &Desired) -> Result<HashMap<String, u32>> {
        let mut found = HashMap::new();
        for name in &desired.interfaces {
            let index = self.reaches.routing().link_index(name).await?;
            let index = index.ok_or_else(|| {
                anyhow!("interface {name} does not exist; see `ip -brief link` for those that do")
            })?;
            found.insert(name.clone(), index);
        }
        Ok(found)
    }

    /// Attaches to interfaces: all of them or none.
    async fn attach(&mut self, interfaces: &[(String, u32)]) -> Result<()> {
        self.update_ports().await?;
        let modes: &[Mode] = match self.choice {
            ModeChoice::Only(mode) => &[mode],
            ModeChoice::Auto if self.native_serves(interfaces).await? => {
                &[Mode::Native, Mode::Generic]
            }
            ModeChoice::Auto => &[Mode::Generic],
        };
        let mut outcome = Ok(());
        for &mode in modes {
            outcome = self.attach_all(interfaces, mode);
            match &outcome {
                Ok(()) => break,
                Err(error) => tracing::debug!("{} mode: {error:#}", mode.name()),
            }
        }
        outcome
    }

    fn attach_all(&mut self, interfaces: &[(String, u32)], mode: Mode) -> Result<()> {
        let before = self.dataplane.attached()?;
        for (done, (name, index)) in interfaces.iter().enumerate() {
            if let Err(error) = self.dataplane.attach(name, *index, mode) {
                for (name, index) in &interfaces[..done] {
                    if !before.contains(index) {
                        self.dataplane.detach(*index)?;
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

    /// False where native XDP would lose packets without a word: what one end of a veth pair
    /// transmits in the driver arrives only if the other end, which may be in any namespace,
    /// runs XDP too.
    async fn native_serves(&self, interfaces: &[(String, u32)]) -> Result<bool> {
        let ports = self.reaches.routing().ports().await?;
        let in_question = ports
            .iter()
            .filter(|port| interfaces.iter().any(|&(_, index)| index == port.interface));
        Ok(in_question.into_iter().all(|port| port.kind != "veth"))
    }

    fn detach_others(&mut self, wanted: &HashMap<String, u32>) -> Result<()> {
        for index in self.dataplane.attached()? {
            if !wanted.values().any(|&wanted| wanted == index) {
                self.dataplane.detach(index)?;
                tracing::info!("XDP program detached from the interface with index {index}");
            }
        }
        self.attached.retain(|name, _| wanted.contains_key(name));
        Ok(())
    }

    /// Routes, neighbours or interfaces have changed.
    pub async fn network_changed(&mut self, change: Change) -> Result<()> {
        if change.links {
            self.update_ports().await?;
            self.reattach().await?;
        }
        if change.answers {
            for (address, reach) in self.reaches.update().await {
                self.dataplane.services.servers.set_reach(address, &reach);
            }
        }
        // Clients may be reached otherwise even where no server is.
        self.dataplane.routes_changed();
        Ok(())
    }

    /// Attaches to interfaces that went away and came back.
    async fn reattach(&mut self) -> Result<()> {
        for name in self.desired.interfaces.clone() {
            let now = self.reaches.routing().link_index(&name).await?;
            let then = self.attached.get(&name).map(|&(index, _)| index);
            if now == then {
                continue;
            }
            if let Some(old) = then {
                tracing::warn!("{name} went away");
                self.dataplane.detach(old)?;
                self.attached.remove(&name);
            }
            if let Some(new) = now {
                self.attach(&[(name, new)]).await?;
            }
        }
        Ok(())
    }

    async fn update_ports(&self) -> Result<()> {
        let ports = self.reaches.routing().ports().await?;
        self.dataplane.set_ports(&ports);
        Ok(())
    }

    /// Takes away expired connections: a part of the table, so that no sweep takes long. To be
    /// called every `interval`.
    pub fn sweep(&mut self, interval: Duration) {
        let started = Instant::now();
        let all = self.dataplane.settings().hash.buckets;
        let rounds = self.sweep_period().as_secs_f64() / interval.as_secs_f64();
        let part = (f64::from(all) / rounds).ceil() as u32;
        let (ended, whole) = self.dataplane.sweep(part.max(LEAST_PART));
        self.swept += started.elapsed();
        if ended > 0 {
            tracing::debug!("{ended} connections expired");
        }
        if whole {
            self.sweep_cost = std::mem::take(&mut self.swept);
            self.dataplane.services.servers.forget_unused();
        }
    }

    /// A sweep takes one two-hundredth of the time at most, and comes every second if it may.
    fn sweep_period(&self) -> Duration {
        (self.sweep_cost * 200).clamp(Duration::from_secs(1), Duration::from_secs(30))
    }
}

/// Buckets that are swept at a time at least.
const LEAST_PART: u32 = 512;
