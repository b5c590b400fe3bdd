//! The daemon: one thread in which requests, changes of the network, the sweep of the
//! connection table, the packet path's log and signals take turns. None of them waits for
//! anybody: what takes time is asked for by [`scouts`].

mod answer;
mod bridge;
mod ipvs;
mod journal;
mod pace;
mod reaches;
mod report;
mod resume;
mod scouts;
mod state;
mod task;

use std::{
    fs,
    future::pending,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use lb_dataplane::{Dataplane, Logger, Size};
use lb_network::{Changes, Routing};
use nix::{sys::utsname::uname, unistd::geteuid};
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

pub use self::state::ModeChoice;
use self::{
    answer::{Answer, answer},
    resume::Course,
    scouts::{Report, Scouts},
    state::Director,
    task::Task,
};
use crate::{api, desired::Desired, instance::Instance};

/// What `lb-ctl run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Which director.
    pub instance: Instance,
    /// Its file.
    pub config: PathBuf,
    /// What tells its text from others, as it was when the daemon started.
    pub checksum: u32,
    /// Interfaces beyond those of the file.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: ModeChoice,
}

impl RunOptions {
    /// The file, where it can be read again: standard input and pipes are empty by now, and to
    /// read them would be to wait.
    fn file(&self) -> Option<&Path> {
        let path = Some(&*self.config).filter(|path| *path != Path::new("-"))?;
        let waits = fs::metadata(path).is_ok_and(|there| !there.is_file());
        (!waits).then_some(path)
    }
}

/// The kernel that the packet path needs: `bpf_loop`.
const KERNEL: (u32, u32) = (5, 17);

/// Expired connections are taken away in steps of this.
const SWEEP: Duration = Duration::from_millis(100);

/// How often a part of the next hops, and of the maps, is looked after.
const REFRESH: Duration = Duration::from_millis(100);

/// Requests that wait their turn.
const QUEUE: usize = 64;

/// Runs the daemon until a signal or a request ends it. `desired` is what the file says.
pub async fn run(options: RunOptions, desired: Desired) -> Result<()> {
    check_machine()?;
    let desired = desired.with_interfaces(&options.interfaces);
    if desired.interfaces.is_empty() {
        bail!(
            "no interface to attach to: name one by --interface, or under `interfaces:` in {}",
            options.config.display()
        );
    }
    let socket = api::bind(&options.instance)?;
    let (routing, changes) = Routing::open().await?;
    let (director, reports) = start(&options, routing, desired).await?;
    let mut director = director;
    let (sender, calls) = mpsc::channel(QUEUE);
    let server = tokio::spawn(api::serve(socket.listener()?, sender));
    tracing::info!(
        "ready: {} services; listening at {}",
        director.desired.services.len(),
        socket.path().display()
    );
    let news = News {
        calls,
        changes,
        reports,
    };
    let end = serve(&options, &mut director, news).await?;
    server.await?;
    match end {
        End::Stopped => tracing::info!(
            "the daemon ends; forwarding goes on (`lb-ctl --instance {} detach` ends it)",
            options.instance
        ),
        End::Detached => tracing::info!("the packet path is taken down"),
    }
    Ok(())
}

/// Takes an instance's packet path down while no daemon runs; says what was removed.
pub fn detach(instance: &Instance) -> Result<Vec<String>> {
    let _lock = api::lock(instance)?;
    let removed = lb_dataplane::take_down(instance.as_str())?;
    Ok(removed
        .iter()
        .map(|path| path.display().to_string())
        .collect())
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

/// Loads or adopts the packet path, and makes it do what is desired.
async fn start(
    options: &RunOptions,
    routing: Routing,
    mut desired: Desired,
) -> Result<(Director, mpsc::UnboundedReceiver<Report>)> {
    let routing = Arc::new(routing);
    let servers = desired
        .services
        .iter()
        .map(|s| s.servers.len() as u32)
        .sum();
    let size = Size {
        connections: desired.connections,
        servers,
        services: desired.services.len() as u32,
    };
    for name in &desired.interfaces {
        if routing.index(name).await?.is_none() {
            bail!("interface {name} does not exist; see `ip -brief link` for those that do");
        }
    }
    let dataplane = Dataplane::open(options.instance.as_str(), size)?;
    let adopted = dataplane.adopted();
    let capacity = dataplane.capacity();
    if adopted {
        tracing::info!("adopted the packet path that was running");
    }
    if capacity != desired.connections {
        tracing::warn!(
            "the table that is running was made for {capacity} connections and stays so; for {} \
             take it down with `lb-ctl detach` (connections are lost) and start again",
            desired.connections
        );
        desired.connections = capacity;
    }
    let live = resume::live(&dataplane, &routing, &desired).await?;
    let known = live.is_some();
    let now = live.unwrap_or_else(|| Desired {
        connections: capacity,
        ..Desired::default()
    });
    let (scouts, reports) = Scouts::new(Arc::clone(&routing));
    let mut director = Director::new(options, dataplane, Arc::clone(&routing), scouts, now);
    let course = Course::of(options, &director, known);
    let mut servers = task::servers(&desired);
    servers.extend(task::servers(&director.desired));
    if let Course::Begun(begun) = &course {
        servers.extend(task::servers(begun));
    }
    let addresses = director.reaches.unknown_of(servers);
    let found = scouts::explore(&routing, addresses).await;
    let interfaces = routing.interfaces().await?;
    let remembered = resume::remembered(&director.dataplane, &interfaces, &found);
    director.reaches.learn_after(remembered, found);
    let outcome = match course {
        Course::File => director.apply(desired, options.checksum).await,
        Course::Live => {
            resume::tell(options, &desired, &director.desired);
            director.make(director.desired.clone()).await
        }
        Course::Begun(begun) => match director.make(begun).await {
            Ok(()) => {
                director.journal.end();
                Ok(())
            }
            Err(error) => {
                let file = options.config.display();
                tracing::error!("what was begun cannot be finished; applying {file}: {error:#}");
                director.journal.end();
                director.apply(desired, options.checksum).await
            }
        },
    };
    if let Err(error) = outcome {
        if !adopted {
            director.dataplane.take_down()?;
        }
        return Err(error);
    }
    Ok((director, reports))
}

/// Why the daemon ends.
enum End {
    Stopped,
    Detached,
}

/// Where the daemon hears of what it has to do.
struct News {
    calls: mpsc::Receiver<api::Call>,
    changes: Changes,
    reports: mpsc::UnboundedReceiver<Report>,
}

async fn serve(options: &RunOptions, director: &mut Director, mut news: News) -> Result<End> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload = signal(SignalKind::hangup())?;
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut estimate = interval(Dataplane::RATES_EVERY);
    estimate.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refresh = interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut log = None;
    loop {
        if let Some(logger) = director.dataplane.logger()? {
            // SAFETY: the logger gives the same open descriptor as long as it lives.
            log = Some(unsafe { AsyncFd::register(logger) }?);
        }
        tokio::select! {
            Some(call) = news.calls.recv() => {
                if let Some(end) = attend(options, director, call).await {
                    return Ok(end);
                }
            }
            Some(report) = news.reports.recv() => director.hear(report).await,
            change = news.changes.next() => {
                tracing::debug!("the network has changed: {change:?}");
                if let Err(error) = director.network_changed(change).await {
                    tracing::error!("cannot follow a change of the network: {error:#}");
                }
            }
            _ = sweep.tick() => director.sweep(SWEEP),
            _ = estimate.tick() => director.estimate(),
            _ = refresh.tick() => {
                director.refresh();
                director.audit().await;
            }
            said = flush(&mut log) => said?,
            _ = reload.recv() => {
                if let Some((request, reply)) = task::file_again(options) {
                    attend(options, director, api::Call { request, reply }).await;
                }
            }
            _ = terminate.recv() => return Ok(End::Stopped),
            _ = interrupt.recv() => return Ok(End::Stopped),
        }
    }
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

/// Answers a request, or sees to it that it will be.
async fn attend(options: &RunOptions, director: &mut Director, call: api::Call) -> Option<End> {
    let api::Call { request, reply } = call;
    let detach = request == api::Request::Detach;
    match answer(options, director, request) {
        Answer::Change(change) => director.undertake(Task { change, reply }).await,
        Answer::Reply(answer) => {
            let done = matches!(answer, api::Reply::Done);
            // Whoever asked may have gone; the answer then interests nobody.
            let _ = reply.send(answer);
            return (detach && done).then_some(End::Detached);
        }
    }
    None
}
