//! The director: what is desired, and the packet path that does it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use lb_network::{Changed, Reach, Routing};

use lb_dataplane::{Dataplane, Interface, Mode, NextHop, Swept};

use super::{
    RunOptions, bridge, ipvs,
    journal::Journal,
    pace::Pace,
    reaches::Reaches,
    scouts::{Report, Scouts},
    task::{self, Task},
};
use crate::{
    api::Reply,
    config::Source,
    desired::{Desired, Method, ServerId, Service, ServiceId},
    plan::plan,
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
    /// What is being applied.
    pub journal: Journal,
    /// How servers are reached.
    pub reaches: Reaches,
    /// Interfaces that the program is attached to, with their index and mode.
    pub attached: BTreeMap<String, (u32, Mode)>,
    /// Since when.
    pub since: Instant,
    choice: ModeChoice,
    routing: Arc<Routing>,
    scouts: Scouts,
    /// Goes up with every change of the network.
    epoch: u64,
    /// What went wrong when something was to be repaired, by what it is about.
    complaints: HashMap<String, String>,
    /// When the next part of the maps is looked at.
    audit_due: Instant,
    audits: Pace,
    sweeps: Pace,
    /// No server had a connection when that was looked at last.
    idle: bool,
}

impl Director {
    /// Of a packet path that does what is `now` desired.
    pub fn new(
        options: &RunOptions,
        dataplane: Dataplane,
        routing: Arc<Routing>,
        scouts: Scouts,
        now: Desired,
    ) -> Self {
        Self {
            desired: now,
            dataplane,
            journal: Journal::of(&options.instance),
            reaches: Reaches::default(),
            attached: BTreeMap::new(),
            since: Instant::now(),
            choice: options.mode,
            routing,
            scouts,
            epoch: 0,
            complaints: HashMap::new(),
            audit_due: Instant::now(),
            audits: Pace::default(),
            sweeps: Pace::default(),
            idle: false,
        }
    }

    /// Does what is asked, at once where it is known how all servers are reached, else when a
    /// scout has found out.
    pub async fn undertake(&mut self, task: Task) {
        let unknown = self.reaches.unknown_of(task.change.servers());
        if unknown.is_empty() {
            self.carry_out(task).await;
        } else {
            self.scouts.explore(task, unknown, self.epoch);
        }
    }

    /// Takes in what a scout came back with.
    pub async fn hear(&mut self, report: Report) {
        match report {
            Report::Explored { task, found, epoch } => {
                self.reaches.learn(found);
                self.carry_out(task).await;
                if epoch != self.epoch {
                    self.scouts.update(|| self.reaches.addresses());
                }
            }
            Report::Updated(found) => {
                for (address, reach) in self.reaches.update(found) {
                    self.dataplane
                        .set_next_hop(address.into(), &next_hop(&reach));
                }
                if self.scouts.updated() {
                    self.scouts.update(|| self.reaches.addresses());
                }
            }
            Report::Refreshed => self.scouts.refreshed(),
        }
    }

    /// Has some next hops asked whether they are still there.
    pub fn refresh(&mut self) {
        self.scouts.refresh(|| self.reaches.due());
    }

    async fn carry_out(&mut self, task: Task) {
        let answer = match task.change {
            task::Change::Apply {
                desired,
                source,
                own,
            } => self.apply_file(desired, &source, own).await,
            task::Change::Ipvs(changes) => {
                let refused = ipvs::change(self, &changes);
                if !refused.is_empty() {
                    self.forget_unused();
                }
                let _ = task.reply.send(ipvs::judged(refused));
                return;
            }
            task::Change::Edit(edit) => match edit.apply(&self.desired) {
                Ok(desired) => self.edit(desired).map(|before| {
                    let (_, after) = differing(&before.services, &self.desired.services);
                    let mut lines = plan(&before, &self.desired).lines();
                    lines.extend(self.unreached(after));
                    lines
                }),
                Err(error) => {
                    self.keep_reaches();
                    let _ = task.reply.send(error.into());
                    return;
                }
            },
        };
        if answer.is_err() {
            self.forget_unused();
        }
        // Whoever asked may have gone; the answer then interests nobody.
        let _ = task.reply.send(match answer {
            Ok(lines) => Reply::Plan(lines),
            Err(error) => Reply::failed(format!("{error:#}")),
        });
    }

    /// Nothing is left of servers that were never put into service.
    fn forget_unused(&mut self) {
        self.dataplane.forget_unused();
        self.keep_reaches();
    }

    /// Makes the live state equal to a file; gives the plan's lines.
    async fn apply_file(
        &mut self,
        desired: Desired,
        source: &Source,
        own: Option<u32>,
    ) -> Result<Vec<String>> {
        let plan = plan(&self.desired, &desired);
        if let Some(why) = plan.refusal() {
            bail!(why);
        }
        let outcome = match own {
            Some(checksum) => self.apply(desired, checksum).await,
            None => {
                if let Err(error) = self.journal.begin(source) {
                    tracing::error!("{error:#}: a crash now would leave it half done");
                }
                let outcome = self.make(desired).await;
                self.journal.end();
                outcome
            }
        };
        outcome.with_context(|| format!("cannot apply {}", source.name))?;
        let mut lines = plan.lines();
        lines.extend(self.unreached(&self.desired.services));
        Ok(lines)
    }

    /// A line for each server that packets do not reach yet.
    fn unreached(&self, services: &[Service]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut others = 0;
        for service in services {
            for server in &service.servers {
                let reach = self.reaches.get(server.id.address);
                if reach.is_known() {
                    continue;
                }
                if lines.len() == UNREACHED_NAMED {
                    others += 1;
                    continue;
                }
                lines.push(format!(
                    "! {}: server {} cannot be reached yet: {reach}",
                    service.id, server.id
                ));
            }
        }
        if others > 0 {
            lines.push(format!("! and {others} more servers cannot be reached yet"));
        }
        lines
    }

    /// Makes the packet path do what the daemon's own file says, which has this checksum. The
    /// next daemon does it again if this one dies on the way.
    pub async fn apply(&mut self, desired: Desired, checksum: u32) -> Result<()> {
        let before = self.dataplane.file();
        self.dataplane.note_file(0);
        let outcome = self.make(desired).await;
        let done = if outcome.is_ok() { checksum } else { before };
        self.dataplane.note_file(done);
        outcome
    }

    /// Makes the packet path do what is desired, and nothing else. Where that fails, it goes
    /// on with what it did before.
    pub async fn make(&mut self, desired: Desired) -> Result<()> {
        let interfaces = self.interfaces(&desired).await?;
        self.check_methods(&desired.services)?;
        let services: Vec<_> = desired.services.iter().map(bridge::to_model).collect();
        self.dataplane.make_room(services.iter())?;
        if let Err(error) = self.put_services(&desired) {
            let before = self.desired.clone();
            self.put_services(&before)
                .context("and the configuration before cannot be restored")?;
            return Err(error);
        }
        self.dataplane
            .set_timeouts(&bridge::timeouts(desired.timeouts));
        let fresh: Vec<_> = interfaces
            .iter()
            .filter(|(name, _)| !self.attached.contains_key(*name))
            .map(|(name, index)| (name.clone(), *index))
            .collect();
        if let Err(error) = self.attach(&fresh).await {
            let before = self.desired.clone();
            self.put_services(&before)
                .context("and the configuration before cannot be restored")?;
            self.dataplane
                .set_timeouts(&bridge::timeouts(before.timeouts));
            return Err(error);
        }
        self.detach_others(&interfaces)?;
        self.warn_of_ways_out(&desired.services);
        self.keep_reaches();
        self.desired = desired;
        Ok(())
    }

    /// As [`apply`](Self::apply), where nothing but services differ from what is desired
    /// already, and looks at no others: what a live edit takes does not depend on how many
    /// there are. Gives what was desired before.
    pub fn edit(&mut self, desired: Desired) -> Result<Desired> {
        let (before, after) = differing(&self.desired.services, &desired.services);
        let before = before.to_vec();
        self.check_methods(after)?;
        if let Err(error) = self.replace_services(&before, after) {
            self.replace_services(after, &before)
                .context("and the configuration before cannot be restored")?;
            return Err(error);
        }
        self.warn_of_ways_out(after);
        Ok(std::mem::replace(&mut self.desired, desired))
    }

    /// Replies of a server on the director itself never meet XDP: there is nothing that could
    /// undo a translation.
    fn check_methods(&self, services: &[Service]) -> Result<()> {
        for service in services {
            for server in &service.servers {
                let local = self.reaches.get(server.id.address) == Reach::Local;
                if local && server.method != Method::Dr {
                    bail!(OwnAddress(server.id, service.id));
                }
            }
        }
        Ok(())
    }

    /// Native XDP sends only by interfaces whose driver was told to expect it, which for most
    /// drivers means: by those that run XDP.
    fn warn_of_ways_out(&self, services: &[Service]) {
        if self
            .attached
            .values()
            .all(|&(_, mode)| mode == Mode::Generic)
        {
            return;
        }
        let ways_out: BTreeSet<_> = services
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
        let reach = |address| match address {
            IpAddr::V4(address) => next_hop(&self.reaches.get(address)),
            IpAddr::V6(_) => NextHop::Unknown,
        };
        for service in &desired.services {
            self.dataplane.put(&bridge::to_model(service), reach)?;
        }
        let wanted: HashSet<_> = desired
            .services
            .iter()
            .map(|service| bridge::id(service.id))
            .collect();
        for id in self.dataplane.services() {
            if !wanted.contains(&id) {
                self.dataplane.remove(id)?;
            }
        }
        Ok(())
    }

    /// Puts services in the place of others.
    fn replace_services(&mut self, before: &[Service], after: &[Service]) -> Result<()> {
        let reach = |address| match address {
            IpAddr::V4(address) => next_hop(&self.reaches.get(address)),
            IpAddr::V6(_) => NextHop::Unknown,
        };
        for service in after {
            self.dataplane.put(&bridge::to_model(service), reach)?;
        }
        for gone in before {
            if after.iter().all(|service| service.id != gone.id) {
                self.dataplane.remove(bridge::id(gone.id))?;
            }
        }
        Ok(())
    }

    /// Forgets how addresses are reached that no server has any more.
    fn keep_reaches(&mut self) {
        self.reaches
            .keep(|address| self.dataplane.has_server_at(address.into()));
    }

    /// The interfaces that the configuration names, with their index.
    async fn interfaces(&self, desired: &Desired) -> Result<HashMap<String, u32>> {
        let mut found = HashMap::new();
        for name in &desired.interfaces {
            let index = self.routing.index(name).await?;
            let index = index.ok_or_else(|| {
                anyhow!("interface {name} does not exist; see `ip -brief link` for those that do")
            })?;
            found.insert(name.clone(), index);
        }
        Ok(found)
    }

    /// Attaches to interfaces: all of them or none.
    async fn attach(&mut self, interfaces: &[(String, u32)]) -> Result<()> {
        self.update_interfaces().await?;
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
        let known = self.routing.interfaces().await?;
        let mut in_question = known
            .iter()
            .filter(|known| interfaces.iter().any(|&(_, index)| index == known.index));
        Ok(in_question.all(|interface| interface.kind != "veth"))
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
    pub async fn network_changed(&mut self, changed: Changed) -> Result<()> {
        if changed.interfaces {
            self.update_interfaces().await?;
            self.reattach().await?;
        }
        self.epoch += 1;
        if changed.answers {
            self.scouts.update(|| self.reaches.addresses());
        }
        // Clients may be reached otherwise even where no server is.
        self.dataplane.routes_changed();
        Ok(())
    }

    /// Attaches to interfaces that went away and came back.
    async fn reattach(&mut self) -> Result<()> {
        for name in self.desired.interfaces.clone() {
            let now = self.routing.index(&name).await?;
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
                let outcome = self.attach(&[(name.clone(), new)]).await;
                self.complain(&name, outcome);
            }
        }
        Ok(())
    }

    /// Notices what somebody changed behind the daemon's back, and undoes it: a part of it, so
    /// that nobody waits. To be called often.
    pub async fn audit(&mut self) {
        if Instant::now() < self.audit_due {
            return;
        }
        let begins = self.dataplane.audit_begins();
        let outcome = self.audits.part(|| {
            let outcome = self.dataplane.audit();
            (outcome, self.dataplane.audit_begins())
        });
        let period = self.audits.period(AUDIT_SHARE, MOST_BETWEEN_AUDITS);
        self.audit_due = Instant::now() + period / Dataplane::AUDITS;
        self.complain("maps", outcome);
        if begins {
            let outcome = self.dataplane.repair_pins();
            self.complain("pins", outcome);
            let outcome = self.audit_interfaces().await;
            self.complain("interfaces", outcome);
        }
    }

    async fn audit_interfaces(&mut self) -> Result<()> {
        for (name, (index, _)) in self.attached.clone() {
            if let Err(error) = self.dataplane.repair_link(&name, index) {
                // Somebody detached it, or the interface is gone, and perhaps back.
                tracing::warn!("{name}: {error:#}: attaching anew");
                self.dataplane.detach(index)?;
                self.attached.remove(&name);
            }
        }
        let missing = |name: &String| !self.attached.contains_key(name);
        if self.desired.interfaces.iter().any(missing) {
            self.reattach().await?;
        }
        Ok(())
    }

    /// Logs an error, once for as long as it stays the same.
    fn complain(&mut self, about: &str, outcome: Result<()>) {
        let Err(error) = outcome else {
            self.complaints.remove(about);
            return;
        };
        let complaint = format!("{error:#}");
        if self.complaints.get(about) != Some(&complaint) {
            tracing::error!("{about}: {complaint}; trying again every second");
            self.complaints.insert(about.to_owned(), complaint);
        }
    }

    async fn update_interfaces(&self) -> Result<()> {
        let known = self.routing.interfaces().await?;
        let interfaces = known.iter().map(|known| Interface {
            index: known.index,
            mac: known.mac,
        });
        self.dataplane
            .set_interfaces(&interfaces.collect::<Vec<_>>());
        Ok(())
    }

    /// Estimates rates. To be called every two seconds.
    pub fn estimate(&mut self) {
        self.dataplane.estimate_rates();
        self.idle = !self.dataplane.has_connections();
    }

    /// Takes away expired connections: a part of the table, so that no sweep takes long. To be
    /// called every `interval`.
    pub fn sweep(&mut self, interval: Duration) {
        let period = match self.idle {
            // There are no connections to end.
            true => MOST_BETWEEN_SWEEPS,
            false => self.sweeps.period(SWEEP_SHARE, MOST_BETWEEN_SWEEPS),
        };
        let rounds = period.as_secs_f64() / interval.as_secs_f64();
        let Swept { ended, whole } = self.sweeps.part(|| {
            let swept = self.dataplane.sweep(1.0 / rounds);
            (swept, swept.whole)
        });
        if ended > 0 {
            tracing::debug!("{ended} connections expired");
        }
        if whole && self.dataplane.forget_unused() {
            self.keep_reaches();
        }
    }
}

/// What the packet path is told of how a server is reached.
fn next_hop(reach: &Reach) -> NextHop {
    match reach {
        Reach::Local => NextHop::Local,
        Reach::Hop(hop) => NextHop::Ethernet(lb_dataplane::Hop {
            interface: hop.interface,
            source_mac: hop.source_mac,
            next_hop_mac: hop.next_hop_mac,
            mtu: hop.mtu,
            source: hop.source,
        }),
        Reach::Unresolved { .. } | Reach::None(_) => NextHop::Unknown,
    }
}

/// A server's address is the director's own, and its method does not lead there.
#[derive(Debug, thiserror::Error)]
#[error(
    "server {0} of {1}: the address is the director's own, and only DR reaches a server on the \
     director itself: give it `forward: dr`"
)]
pub struct OwnAddress(ServerId, ServiceId);

/// Two lists without what they have in common at their beginning and at their end.
fn differing<'a, 'b, T: PartialEq>(one: &'a [T], other: &'b [T]) -> (&'a [T], &'b [T]) {
    let same = |(a, b): &(&T, &T)| a == b;
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) = (&one[start..], &other[start..]);
    let pairs = one.iter().rev().zip(other.iter().rev());
    let end = pairs.take_while(same).count();
    (&one[..one.len() - end], &other[..other.len() - end])
}

/// Servers that an answer names one by one when many cannot be reached.
const UNREACHED_NAMED: usize = 10;

/// A sweep of the whole table costs so small a part of a processor, and comes so often.
const SWEEP_SHARE: u32 = 200;
const MOST_BETWEEN_SWEEPS: Duration = Duration::from_secs(30);

/// Likewise, looking through all maps.
const AUDIT_SHARE: u32 = 500;
const MOST_BETWEEN_AUDITS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_lists_have_in_common_at_both_ends_does_not_differ() {
        assert_eq!(differing(&[1, 2, 3], &[1, 5, 3]), (&[2][..], &[5][..]));
        assert_eq!(differing(&[1, 2], &[1, 2, 3]), (&[][..], &[3][..]));
        assert_eq!(differing(&[1, 2, 3], &[2, 3]), (&[1][..], &[][..]));
        assert_eq!(differing(&[1, 1], &[1]), (&[1][..], &[][..]));
        assert_eq!(differing(&[1], &[1]), (&[][..], &[][..]));
    }
}
