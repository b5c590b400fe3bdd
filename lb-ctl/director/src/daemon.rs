//! The daemon: one thread in which requests, changes of the network, the sweep of the connection
//! table, the packet path's log and signals take turns. The core decides what is done about them;
//! the shell does it.

use std::{
    collections::VecDeque,
    future::pending,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use lb_api::{Call, Repaired, Reply, Socket};
use lb_dataplane::{Dataplane, Logger};
use lb_model::{merge::Written, spelling};
use lb_network::netfilter;
use tokio::{
    io::unix::AsyncFd,
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    await_repair,
    core::{Ask, Asked, By, Core, Event, Start, TROUBLE},
    machine,
    options::Options,
    record::Recorded,
    report::Report,
    requests::{Answer, answer, verb},
    shell::Shell,
    startup::{self, News, Opened},
};

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
    machine::check()?;
    await_repair(&options.instance);
    let mut socket = lb_api::bind(&options.instance)?;
    // All that may fail for want of open files comes before anything is in the kernel.
    let listener = socket.listener()?;
    let signals = Signals::open()?;
    let written = options.own(written);
    let Opened {
        shell,
        recorded,
        mut news,
    } = startup::open(&options, &written).await?;
    let mut daemon = Daemon {
        options,
        core: Core::default(),
        shell,
        since: Instant::now(),
    };
    daemon.start(written, recorded, &mut news).await?;
    let (sender, calls) = mpsc::channel(QUEUE);
    let (listeners, again) = mpsc::channel(1);
    let server = tokio::spawn(lb_api::serve(listener, again, sender));
    tracing::info!(
        "ready: {}; listening at {}",
        spelling::count(daemon.core.desired().services.len(), "service"),
        socket.path().display()
    );
    warn_of_firewall();
    let mut door = Door {
        socket: &mut socket,
        listeners,
    };
    let end = daemon.serve(calls, signals, &mut door, &mut news).await?;
    drop(door);
    daemon.shell.log.end();
    drop(news);
    server.await?;
    match end {
        End::Stopped => tracing::info!(
            "the daemon ends; forwarding continues (`lb-ctl --instance {} detach` stops it)",
            daemon.options.instance
        ),
        End::Detached => {
            socket.remove();
            tracing::info!("forwarding has stopped: the packet path is taken down");
        }
    }
    Ok(())
}

/// Warns of rules that packets to services do not meet any more.
fn warn_of_firewall() {
    let chains = netfilter::chains().unwrap_or_else(|error| {
        tracing::debug!("netfilter: {error}");
        Vec::new()
    });
    let chains = chains.iter().map(|it| format!("{} {}", it.table, it.name));
    let old = netfilter::old_tables().into_iter();
    let old = old.map(|table| format!("iptables {table}"));
    let all: Vec<_> = chains.chain(old).collect();
    if !all.is_empty() {
        tracing::warn!(
            "this machine has rules of netfilter ({}): packets that are forwarded to servers, and \
             replies of NAT servers, do not meet them, nor rp_filter; filter in front of the \
             director, or on the servers",
            all.join(", ")
        );
    }
}

/// Why the daemon ends.
enum End {
    Stopped,
    Detached,
}

/// The signals that the daemon knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn open() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Where clients come in.
struct Door<'a> {
    socket: &'a mut Socket,
    listeners: mpsc::Sender<UnixListener>,
}

impl Door<'_> {
    /// Makes the socket and its lock again if somebody has removed them.
    async fn repair(&mut self) -> Result<()> {
        let Repaired { lock, socket } = self.socket.repair()?;
        if let Some(path) = lock {
            tracing::warn!("the lock {} was gone: made again", path.display());
        }
        if let Some(path) = socket {
            let listener = self.socket.listener()?;
            // The server ends with the daemon only.
            let _ = self.listeners.send(listener).await;
            tracing::warn!("the socket {} was gone: made again", path.display());
        }
        Ok(())
    }
}

struct Daemon {
    options: Options,
    core: Core,
    shell: Shell,
    since: Instant,
}

impl Daemon {
    /// Makes the packet path do what is recorded, and what the file has changed since.
    async fn start(
        &mut self,
        written: Written,
        recorded: Option<Recorded>,
        news: &mut News,
    ) -> Result<()> {
        let known = recorded.is_some();
        let own = self.shell.tell_addresses().await?;
        let (reply, mut done) = oneshot::channel();
        let start = Start {
            token: self.shell.replies.wait(reply),
            file: self.options.name(),
            written,
            recorded,
            capacity: self.shell.dataplane.view().capacity(),
            services: self.shell.dataplane.view().services(),
        };
        self.happen(Event::Started(Box::new(start))).await;
        self.happen(own).await;
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
                *remembered = self.shell.remembered(found).await?;
            }
            self.happen(event).await;
        };
        let Reply::Error { message, .. } = reply else {
            self.shell.dataplane.keep();
            return Ok(());
        };
        if !known {
            self.shell.record.remove()?;
        }
        bail!(message)
    }

    async fn serve(
        &mut self,
        mut calls: mpsc::Receiver<Call>,
        mut signals: Signals,
        door: &mut Door<'_>,
        news: &mut News,
    ) -> Result<End> {
        let mut sweep = every(SWEEP);
        let mut estimate = every(Dataplane::RATES_EVERY);
        let mut refresh = every(REFRESH);
        let mut tick = every(TICK);
        let mut packet_log = None;
        loop {
            if let Some(logger) = self.shell.dataplane.logger()? {
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
                        self.shell.interfaces_changed().await;
                    }
                    if change.addresses
                        && let Some(event) = self.shell.addresses_changed().await
                    {
                        self.happen(event).await;
                    }
                    if change.interfaces || change.addresses {
                        self.shell.see_to_needs_soon(&self.core).await;
                    }
                    let answers = change.answers;
                    self.happen(Event::NetworkChanged { answers }).await;
                }
                _ = sweep.tick() => {
                    if self.shell.maintenance.sweep(&mut self.shell.dataplane, SWEEP) {
                        let unused = self.shell.unused(self.core.reaches());
                        self.happen(unused).await;
                    }
                }
                _ = estimate.tick() => self.shell.maintenance.estimate(&mut self.shell.dataplane),
                _ = refresh.tick() => {
                    self.shell.lookups.refresh(|| self.core.due());
                    self.shell.audit().await;
                    self.shell.look_at_servers(&self.core);
                }
                _ = tick.tick() => {
                    // Makes the folder of both.
                    self.shell.maintenance.troubles.note("socket", door.repair().await);
                    self.keep_record();
                    self.shell.ways_out_seen.clear();
                    self.shell.see_to_needs(&self.core).await;
                    self.shell.look_for_losses();
                    self.shell.refresh_clients();
                    self.shell.log.tick(Instant::now());
                    self.happen(Event::Tick).await;
                }
                said = flush(&mut packet_log) => said?,
                _ = signals.hangup.recv() => self.hang_up().await,
                _ = signals.terminate.recv() => return Ok(End::Stopped),
                _ = signals.interrupt.recv() => return Ok(End::Stopped),
            }
        }
    }

    /// Answers a request, or hands it to the core.
    async fn attend(&mut self, call: Call) -> Option<End> {
        let Call {
            request,
            by,
            reply,
            client,
        } = call;
        if client.has_gone() {
            let (uid, pid, verb) = (by.uid, by.pid, verb(&request).escape_debug().to_string());
            tracing::info!(uid, pid, verb, "not done: the client has not waited for it");
            return None;
        }
        // The socket is closed as soon as it is answered.
        drop(client);
        let report = Report {
            desired: self.core.desired(),
            reaches: self.core.reaches(),
            view: self.shell.dataplane.view(),
            interfaces: self.shell.interfaces.shown(),
            troubles: self.shell.maintenance.troubles.all(),
            losses: &self.shell.maintenance.losses,
            daemon: Some(self.since),
        };
        // A client that has gone needs no reply.
        match answer(&self.options, &report, by, request) {
            Answer::Reply(answer) => drop(reply.send(answer)),
            Answer::Ask(by, what) => {
                let token = self.shell.replies.wait(reply);
                self.happen(Event::Asked(Ask { token, by, what })).await;
            }
            Answer::Detach => {
                let outcome = self.shell.take_down();
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
        tokio::spawn(log_applied_again(name.clone(), answer));
        let token = self.shell.replies.wait(reply);
        let by = By::Hangup { file: name.clone() };
        let what = Asked::Again { written, name };
        self.happen(Event::Asked(Ask { token, by, what })).await;
    }

    /// Tells the core of an event, and carries out what it orders.
    async fn happen(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for order in self.core.handle(event) {
                let event = self.shell.carry_out(order, &self.core).await;
                events.extend(event);
            }
        }
    }

    /// Writes the record anew if it has grown long, or if the last write failed.
    fn keep_record(&mut self) {
        if self.shell.record.is_due()
            && let Some(recorded) = self.core.recorded()
        {
            self.shell.rewrite(&recorded);
        }
    }
}

async fn log_applied_again(file: String, answer: oneshot::Receiver<Reply>) {
    match answer.await {
        Ok(Reply::Lines(lines)) => {
            let troubles = lines.iter().filter_map(|line| line.strip_prefix(TROUBLE));
            let changes = spelling::count(lines.len() - troubles.clone().count(), "change");
            tracing::info!("{file} applied again: {changes}");
            for trouble in troubles {
                tracing::warn!("{trouble}");
            }
        }
        Ok(Reply::Error { message, .. }) => {
            tracing::error!("{file} was not applied; nothing changed: {message}");
        }
        // The core gives no other reply; without one, the daemon is ending.
        Ok(_) | Err(_) => {}
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
