//! The daemon: one thread in which requests, changes of the network, the sweep of the connection
//! table, the packet path's log and signals take turns. The core decides what is done about them;
//! here it is done.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use lb_api::{Call, Reply};
use lb_dataplane::{Dataplane, Logger, Size};
use lb_model::{Desired, merge::Written};
use lb_network::{Changes, Hop, Reach, Routing};
use nix::{sys::utsname::uname, unistd::geteuid};
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    care::Care,
    core::{Ask, Asked, By, Core, Event, Order, Start, Token, Work},
    hands::{Hands, next_hop},
    interfaces::Interfaces,
    log,
    options::Options,
    record::{
        Recorded,
        file::{Found, RecordFile},
    },
    report::Report,
    requests::{Answer, answer},
    scouts::Scouts,
};

/// The oldest kernel that has `bpf_loop`, which the packet path calls.
const KERNEL: (u32, u32) = (5, 17);

/// How often a part of the connection table is swept for expired connections.
const SWEEP: Duration = Duration::from_millis(100);
/// How often some next hops are probed, and a part of the maps is looked at.
const REFRESH: Duration = Duration::from_millis(100);
/// How often what failed is tried again.
const TICK: Duration = Duration::from_secs(1);
/// How many requests may wait for the daemon. Further clients wait at the socket.
const QUEUE: usize = 64;

/// Runs the daemon until a signal or a request ends it. Its file says what is `written`.
pub async fn run(options: Options, written: Written) -> Result<()> {
    check_machine()?;
    let socket = lb_api::bind(&options.instance)?;
    let written = options.own(written);
    let (mut daemon, mut news) = Daemon::open(options, &written).await?;
    daemon.start(written, &mut news).await?;
    let (sender, calls) = mpsc::channel(QUEUE);
    let server = tokio::spawn(lb_api::serve(socket.listener()?, sender));
    tracing::info!(
        "ready: {}; listening at {}",
        lb_model::spelling::count(daemon.core.desired().services.len(), "service"),
        socket.path().display()
    );
    let end = daemon.serve(calls, &mut news).await?;
    drop(news);
    server.await?;
    match end {
        End::Stopped => tracing::info!(
            "the daemon ends; forwarding goes on (`lb-ctl --instance {} detach` ends it)",
            daemon.options.instance
        ),
        End::Detached => tracing::info!("the packet path is taken down"),
    }
    Ok(())
}

fn check_machine() -> Result<()> {
    if !geteuid().is_root() {
        bail!("the daemon loads programs into the kernel: run it as root");
    }
    let release = uname()?.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    let version = (
        numbers.next().unwrap_or(0u32),
        numbers.next().unwrap_or(0u32),
    );
    if version < KERNEL {
        bail!(
            "this is Linux {release}; the packet path needs {}.{} or newer",
            KERNEL.0,
            KERNEL.1
        );
    }
    Ok(())
}

/// Why the daemon ends.
enum End {
    Stopped,
    Detached,
}

/// What comes in from the network, besides requests.
struct News {
    changes: Changes,
    answers: mpsc::UnboundedReceiver<Event>,
}

struct Daemon {
    options: Options,
    core: Core,
    record: RecordFile,
    /// The record as it was read at the start; the core takes it from here.
    recorded: Option<Recorded>,
    dataplane: Dataplane,
    interfaces: Interfaces,
    routing: Arc<Routing>,
    scouts: Scouts,
    care: Care,
    since: Instant,
    /// Clients that wait for the core's reply.
    waiting: HashMap<Token, oneshot::Sender<Reply>>,
    last: Token,
}

impl Daemon {
    /// Loads the packet path, or adopts the one that runs.
    async fn open(options: Options, written: &Written) -> Result<(Self, News)> {
        let (mut record, found) = RecordFile::open(&options.instance)
            .context("cannot find out which boot of the machine this is")?;
        let recorded = usable(found);
        let wanted = match &recorded {
            Some(recorded) => written.again(&recorded.files.own, &recorded.desired),
            None => written.alone(),
        };
        if wanted.interfaces.is_empty() {
            bail!(
                "no interface to attach to: name one by --interface, or under `interfaces:` in {}",
                options.name()
            );
        }
        let (routing, changes) = Routing::open().await?;
        let routing = Arc::new(routing);
        let interfaces = Interfaces::new(options.mode, Arc::clone(&routing));
        interfaces.look_up(&wanted.interfaces).await?;
        let dataplane = Dataplane::open(options.instance.as_str(), size(&wanted))?;
        if dataplane.adopted() {
            tracing::info!("adopted the packet path that was running");
        }
        if recorded.is_none() {
            if dataplane.adopted() {
                tracing::error!(
                    "there is no record of what was desired: {} counts, live edits that it does \
                     not have are lost",
                    options.name()
                );
            }
            let nothing = Desired {
                connections: dataplane.capacity(),
                ..Desired::default()
            };
            let nothing = Recorded {
                desired: nothing,
                ..Recorded::default()
            };
            record
                .rewrite(&nothing)
                .context("cannot write the record")?;
        }
        let (scouts, answers) = Scouts::new(Arc::clone(&routing));
        let daemon = Self {
            options,
            core: Core::default(),
            record,
            recorded,
            dataplane,
            interfaces,
            routing,
            scouts,
            care: Care::new(),
            since: Instant::now(),
            waiting: HashMap::new(),
            last: Token(0),
        };
        Ok((daemon, News { changes, answers }))
    }

    /// Makes the packet path do what is recorded, and what the file has changed since.
    async fn start(&mut self, written: Written, news: &mut News) -> Result<()> {
        let known = self.recorded.is_some();
        let (reply, mut done) = oneshot::channel();
        let start = Start {
            token: self.token(reply),
            file: self.options.name(),
            written,
            recorded: self.recorded.take(),
            capacity: self.dataplane.capacity(),
            services: self.dataplane.services(),
        };
        self.happen(Event::Started(Box::new(start))).await;
        let reply = loop {
            if let Ok(reply) = done.try_recv() {
                break reply;
            }
            let answer = news.answers.recv().await;
            let mut event = answer.ok_or_else(|| anyhow!("nobody answers"))?;
            if let Event::Explored {
                remembered, found, ..
            } = &mut event
            {
                *remembered = self.remembered(found).await?;
            }
            self.happen(event).await;
        };
        let Reply::Error { message, .. } = reply else {
            return Ok(());
        };
        if !known {
            self.record.remove()?;
        }
        if !self.dataplane.adopted() {
            self.dataplane.take_down()?;
        }
        bail!(message)
    }

    async fn serve(&mut self, mut calls: mpsc::Receiver<Call>, news: &mut News) -> Result<End> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut sweep = every(SWEEP);
        let mut estimate = every(Dataplane::RATES_EVERY);
        let mut refresh = every(REFRESH);
        let mut tick = every(TICK);
        let mut packet_log = None;
        loop {
            if let Some(logger) = self.dataplane.logger()? {
                // SAFETY: the logger gives the same open descriptor as long as it lives.
                packet_log = Some(unsafe { AsyncFd::register(logger) }?);
            }
            tokio::select! {
                Some(call) = calls.recv() => {
                    if let Some(end) = self.attend(call).await {
                        return Ok(end);
                    }
                }
                Some(answer) = news.answers.recv() => self.happen(answer).await,
                change = news.changes.next() => {
                    tracing::debug!("the network has changed: {change:?}");
                    if change.interfaces {
                        let complaints = &mut self.care.complaints;
                        let outcome = self.interfaces.changed(&mut self.dataplane, complaints);
                        let outcome = outcome.await;
                        complaints.note("interfaces", outcome);
                    }
                    let answers = change.answers;
                    self.happen(Event::NetworkChanged { answers }).await;
                }
                _ = sweep.tick() => {
                    if self.care.sweep(&mut self.dataplane, SWEEP) {
                        let unused = self.unused();
                        self.happen(unused).await;
                    }
                }
                _ = estimate.tick() => self.care.estimate(&mut self.dataplane),
                _ = refresh.tick() => {
                    self.scouts.refresh(|| self.core.due());
                    self.care.audit(&mut self.dataplane, &mut self.interfaces).await;
                }
                _ = tick.tick() => {
                    self.keep_record();
                    self.happen(Event::Tick).await;
                }
                said = flush(&mut packet_log) => said?,
                _ = hangup.recv() => self.hang_up().await,
                _ = terminate.recv() => return Ok(End::Stopped),
                _ = interrupt.recv() => return Ok(End::Stopped),
            }
        }
    }

    /// Answers a request, or hands it to the core.
    async fn attend(&mut self, call: Call) -> Option<End> {
        let Call { request, by, reply } = call;
        let report = Report {
            desired: self.core.desired(),
            reaches: self.core.reaches(),
            dataplane: &self.dataplane,
            interfaces: &self.interfaces,
            since: self.since,
        };
        // A client that has gone needs no reply.
        match answer(&self.options, &report, by, request) {
            Answer::Reply(answer) => drop(reply.send(answer)),
            Answer::Ask(by, what) => {
                let token = self.token(reply);
                self.happen(Event::Asked(Ask { token, by, what })).await;
            }
            Answer::Detach => {
                let outcome = self.take_down();
                let detached = outcome.is_ok();
                let _ = reply.send(match outcome {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::failed(format!("{error:#}")),
                });
                return detached.then_some(End::Detached);
            }
        }
        None
    }

    /// On SIGHUP: applies the file again, and logs the outcome, because nobody gets a reply.
    async fn hang_up(&mut self) {
        let name = self.options.name();
        let Some(path) = self.options.file() else {
            tracing::warn!(
                "SIGHUP: the configuration came by a pipe, there is no file to read again"
            );
            return;
        };
        let written = match lb_config::load(path) {
            Ok(written) => self.options.own(written),
            Err(error) => {
                tracing::error!("{name} was not applied; nothing changed: {error}");
                return;
            }
        };
        let (reply, answer) = oneshot::channel();
        let log_name = name.clone();
        tokio::spawn(async move {
            match answer.await {
                Ok(Reply::Lines(lines)) => {
                    let changes = lb_model::spelling::count(lines.len(), "change");
                    tracing::info!("{log_name} applied again: {changes}");
                }
                Ok(Reply::Error { message, .. }) => {
                    tracing::error!("{log_name} was not applied; nothing changed: {message}");
                }
                // The core gives no other reply; without one, the daemon is ending.
                Ok(_) | Err(_) => {}
            }
        });
        let token = self.token(reply);
        let by = By::Hangup { file: name.clone() };
        let what = Asked::Again { written, name };
        self.happen(Event::Asked(Ask { token, by, what })).await;
    }

    /// Tells the core of an event, and carries out what it orders.
    async fn happen(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for order in self.core.handle(event) {
                events.extend(self.carry_out(order).await);
            }
        }
    }

    /// Carries an order out. Gives the outcome, where it is known at once, as an event.
    async fn carry_out(&mut self, order: Order) -> Option<Event> {
        match order {
            Order::Explore { epoch, addresses } => self.scouts.explore(epoch, addresses),
            Order::Update(addresses) => self.scouts.update(addresses),
            Order::Work(work) => return Some(self.work(work).await),
            Order::NextHop { address, reach } => {
                self.dataplane.set_next_hop(address, &next_hop(&reach));
            }
            Order::RoutesChanged => self.dataplane.routes_changed(),
            Order::Forget => {
                self.dataplane.forget_unused();
                return Some(self.unused());
            }
            Order::Record(line) => {
                // Where that fails, the record is written anew.
                if let Err(fault) = crate::core::Record::append(&mut self.record, &line) {
                    tracing::error!("{fault}");
                }
            }
            Order::Rewrite(recorded) => self.rewrite(&recorded),
            Order::Tell(told) => log::tell(&told),
            Order::Reply(token, reply) => {
                if let Some(waiting) = self.waiting.remove(&token) {
                    // A client that has gone needs no reply.
                    let _ = waiting.send(reply);
                }
            }
        }
        None
    }

    async fn work(&mut self, work: Work) -> Event {
        let found = match &work.interfaces {
            Some(names) => Some(self.interfaces.look_up(names).await),
            None => None,
        };
        let mut hands = Hands {
            record: &mut self.record,
            dataplane: &mut self.dataplane,
            interfaces: &mut self.interfaces,
            found,
        };
        let outcome = work.carry_out(&mut hands);
        if outcome.is_ok() {
            self.interfaces.warn_of_ways_out(&work.put);
        }
        let work = work.number;
        Event::Worked { work, outcome }
    }

    /// The addresses that the core knows and the packet path has no server at.
    fn unused(&self) -> Event {
        let mut addresses = self.core.reaches().addresses();
        addresses.retain(|address| !self.dataplane.has_server_at(*address));
        Event::Unused(addresses)
    }

    /// Writes the record anew if it has grown long, or if the last write failed.
    fn keep_record(&mut self) {
        if self.record.is_due()
            && let Some(recorded) = self.core.recorded()
        {
            self.rewrite(&recorded);
        }
    }

    fn rewrite(&mut self, recorded: &Recorded) {
        let outcome = self.record.rewrite(recorded);
        let outcome = outcome.context("changes cannot be recorded, and are refused");
        self.care.complaints.note("record", outcome);
    }

    /// Takes the packet path down. The record is removed first: if the daemon crashes in between,
    /// the next one must not make the live edits again.
    fn take_down(&mut self) -> Result<()> {
        self.record.remove().context("cannot remove the record")?;
        self.dataplane.take_down()
    }

    /// For servers that do not answer ARP now: the next hop that the packet path has from the last
    /// daemon. It goes on sending there, as if that daemon had not ended.
    async fn remembered(&self, found: &[(IpAddr, Reach)]) -> Result<Vec<(IpAddr, Reach)>> {
        let interfaces = self.routing.interfaces().await?;
        let hop = |(address, reach): &(IpAddr, Reach)| {
            let Reach::Unresolved {
                interface,
                next_hop,
            } = reach
            else {
                return None;
            };
            let interface = interfaces.iter().find(|known| known.name == *interface)?;
            let last = self.dataplane.next_hop(*address, interface.index)?;
            let hop = Hop {
                interface: interface.index,
                interface_name: interface.name.clone(),
                kind: interface.kind.clone(),
                source_mac: interface.mac,
                next_hop_mac: last.next_hop_mac,
                mtu: last.mtu,
                source: last.source,
                next_hop: *next_hop,
            };
            Some((*address, Reach::Hop(hop)))
        };
        Ok(found.iter().filter_map(hop).collect())
    }

    fn token(&mut self, reply: oneshot::Sender<Reply>) -> Token {
        self.last = Token(self.last.0 + 1);
        self.waiting.insert(self.last, reply);
        self.last
    }
}

/// The record, if it can be used; why not, is logged.
fn usable(found: Found) -> Option<Recorded> {
    match found {
        Found::Nothing => None,
        Found::Recorded { recorded, torn } => {
            if torn > 0 {
                tracing::warn!(
                    "the last line of the record was not written to its end ({torn} bytes): the \
                     last daemon crashed before it made that change"
                );
            }
            Some(*recorded)
        }
        Found::OtherBoot => {
            tracing::info!("the machine was started since the last daemon ran: its record is old");
            None
        }
        Found::Damaged(why) => {
            tracing::error!("the record of what is desired cannot be used: {why}");
            None
        }
    }
}

fn size(wanted: &Desired) -> Size {
    let servers = wanted.services.iter().map(|s| s.servers.len() as u32);
    Size {
        connections: wanted.connections,
        servers: servers.sum(),
        services: wanted.services.len() as u32,
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits until the packet path says something, and logs it.
async fn flush(log: &mut Option<AsyncFd<Logger>>) -> Result<()> {
    match log {
        Some(log) => {
            let mut ready = log.readable_mut().await?;
            ready.get_inner_mut().flush();
            ready.clear_ready();
            Ok(())
        }
        None => pending().await,
    }
}
