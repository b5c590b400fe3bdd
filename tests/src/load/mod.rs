//! A load: thousands of clients in one namespace, of several services at once. It notices every
//! connection that breaks and every byte that is wrong.
//!
//! Each service has four kinds of clients. *Talkers* send something from time to time, over one
//! connection that lasts as long as the load. *Transfers* do the same without pauses. *Visitors*
//! open a connection, use it, close it, and begin again. *Askers* send a datagram and wait for its
//! answer. The server's echo sends everything back, so every byte passes the director, under DR and
//! TUN too.

mod asker;
mod connection;
pub mod losses;
mod rhythm;
mod tally;
mod volume;

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use lb_lab::{
    descriptors,
    namespace::Namespace,
    wait::{self, wait_at_most},
};
use tokio::{
    runtime::Builder,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::Interval,
};

use self::{
    connection::Connection,
    rhythm::{next, rhythm},
    volume::{ASK, SENTENCE, TALK, TRANSFER, VISIT},
};
pub use self::{
    tally::Tally,
    volume::{Target, Volume},
};

/// Bytes that a transfer sends at once.
const CHUNK: usize = 4 * SENTENCE;
/// How many connections send at the same time. The queue of a lab's interface holds 256 frames.
/// When a busy machine has stopped for a moment, all clients that are due would otherwise send at
/// once.
const SPEAKING: usize = 64;
/// How many lasting connections are opened at the same time, in the beginning.
const OPENING: usize = 64;
/// Many clients wait for their turn on few CPUs. Longer than a connection may stall, so that it is
/// told which one did.
const PATIENCE: Duration = wait::PATIENCE.saturating_mul(2);

/// A load that runs until it is ended.
#[derive(Debug)]
pub struct Load {
    tallies: Vec<Arc<Tally>>,
    stop: watch::Sender<bool>,
    clients: Option<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts it, and waits until every lasting connection is open.
    pub fn start(client: &Namespace, targets: &[Target], volume: Volume) -> Result<Self> {
        descriptors::allow_many()?;
        let (stop, stopped) = watch::channel(false);
        let tallies: Vec<_> = targets
            .iter()
            .map(|target| Arc::new(Tally::new(target.clone(), volume)))
            .collect();
        let all = tallies.clone();
        let clients = client.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&all, volume, &stopped));
            Ok(())
        });
        let load = Self {
            tallies,
            stop,
            clients: Some(clients),
        };
        load.everybody_speaks()?;
        Ok(load)
    }

    /// The tally of the service with this name.
    pub fn of(&self, name: &str) -> Result<&Tally> {
        let tally = self.tallies.iter().find(|tally| tally.name() == name);
        Ok(tally.with_context(|| format!("there is no load on {name}"))?)
    }

    /// The tallies of all services.
    pub fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.tallies.iter().map(AsRef::as_ref)
    }

    /// Number of TCP connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.tallies().map(Tally::open).sum()
    }

    /// Fails if any connection broke, any byte was wrong, or any datagram was lost.
    pub fn ensure_whole(&self) -> Result<()> {
        let faults: Vec<_> = self.tallies().flat_map(Tally::faults).collect();
        ensure!(
            faults.is_empty(),
            "{} connections suffered; the first ones:\n{}",
            faults.len(),
            faults[..faults.len().min(10)].join("\n")
        );
        Ok(())
    }

    /// Waits until, from now on, every lasting connection has carried data, and new ones have been
    /// opened and closed.
    pub fn everybody_speaks(&self) -> Result<()> {
        self.everybody_speaks_but(&[])
    }

    /// As [`everybody_speaks`](Self::everybody_speaks), except for the TCP connections of servers
    /// with these names.
    pub fn everybody_speaks_but(&self, gone: &[&str]) -> Result<()> {
        self.wait("every connection carries something", |tally, mark| {
            tally.everybody_spoke(mark, gone)
        })
    }

    /// Waits until, from now on, some clients of each kind have exchanged data.
    pub fn goes_on(&self) -> Result<()> {
        self.wait("the load goes on", Tally::went_on)
    }

    fn wait(&self, what: &str, done: impl Fn(&Tally, &tally::Mark) -> Result<()>) -> Result<()> {
        let marks: Vec<_> = self.tallies().map(Tally::mark).collect();
        let result = wait_at_most(PATIENCE, what, || {
            if self.ensure_whole().is_err() {
                return Ok(());
            }
            self.tallies()
                .zip(&marks)
                .try_for_each(|(tally, mark)| done(tally, mark))
        });
        self.ensure_whole()?;
        result
    }

    /// Waits until every present visitor has closed its connection.
    pub fn let_visitors_change(&self) -> Result<()> {
        for tally in self.tallies() {
            tally.shut()?;
            tally.reopen();
        }
        Ok(())
    }

    /// Closes every connection, and fails if anything went wrong until then. Returns how many TCP
    /// connections each service's clients have opened.
    pub fn end(mut self) -> Result<Vec<(&'static str, u64)>> {
        self.stop()?;
        self.ensure_whole()?;
        ensure!(self.open() == 0, "{} connections are left", self.open());
        let opened = self.tallies();
        let opened = opened.map(|tally| (tally.name(), tally.connections()));
        Ok(opened.collect())
    }

    fn stop(&mut self) -> Result<()> {
        let _ = self.stop.send(true);
        match self.clients.take() {
            Some(clients) => clients.join().map_err(|_| anyhow!("the load panicked"))?,
            None => Ok(()),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for tally in self.tallies() {
            tally.abandon();
        }
        let _ = self.stop();
    }
}

/// Runs all clients until they have ended.
async fn run(tallies: &[Arc<Tally>], volume: Volume, stopped: &watch::Receiver<bool>) {
    let mut clients = JoinSet::new();
    let opening = Arc::new(Semaphore::new(OPENING));
    let speaking = Arc::new(Semaphore::new(SPEAKING));
    for tally in tallies {
        let lasting = volume.talkers + volume.transfers;
        for number in 0..lasting {
            let (pause, length) = if number < volume.talkers {
                (TALK, SENTENCE)
            } else {
                (TRANSFER, CHUNK)
            };
            let (tally, stopped) = (tally.clone(), stopped.clone());
            let (opening, speaking) = (opening.clone(), speaking.clone());
            let rhythm = rhythm(pause, number, lasting);
            clients.spawn(async move {
                let opened = async {
                    let _turn = opening.acquire().await?;
                    Connection::open(&tally, number as u64).await
                };
                let stayed = match opened.await {
                    Ok(mut connection) => {
                        connection.speak_in_turns(&speaking);
                        stay(&tally, number, length, rhythm, stopped, connection).await
                    }
                    Err(error) => Err(error),
                };
                tally.note(&format!("connection {number}"), stayed);
            });
        }
        for number in 0..volume.visitors {
            let (tally, stopped) = (tally.clone(), stopped.clone());
            let rhythm = rhythm(VISIT, number, volume.visitors);
            clients.spawn(async move { visit(&tally, number, rhythm, stopped).await });
        }
        for number in 0..volume.askers {
            let (tally, stopped) = (tally.clone(), stopped.clone());
            let rhythm = rhythm(ASK, number, volume.askers);
            clients.spawn(async move {
                let asked = asker::ask(&tally, number, lasting + number, rhythm, stopped).await;
                tally.note(&format!("UDP client {number}"), asked);
            });
        }
    }
    while clients.join_next().await.is_some() {}
}

async fn stay(
    tally: &Arc<Tally>,
    number: usize,
    length: usize,
    mut rhythm: Interval,
    mut stopped: watch::Receiver<bool>,
    mut connection: Connection,
) -> Result<()> {
    while next(&mut rhythm, &mut stopped).await {
        let epoch = tally.epoch();
        connection.exchange(length).await?;
        tally.spoke(number, connection.server(), epoch);
    }
    connection.close().await
}

async fn visit(
    tally: &Arc<Tally>,
    number: usize,
    mut rhythm: Interval,
    mut stopped: watch::Receiver<bool>,
) {
    let mut visits = 0;
    while next(&mut rhythm, &mut stopped).await {
        let Some(_visit) = tally.come() else {
            continue;
        };
        visits += 1;
        let visited = async {
            let mut connection = Connection::open(tally, 1 << 20 | visits).await?;
            connection.exchange(SENTENCE).await?;
            let server = connection.server().to_owned();
            connection.close().await?;
            tally.visited(server);
            Ok(())
        };
        let visited = visited.await;
        tally.note(&format!("visit {visits} of visitor {number}"), visited);
    }
}
