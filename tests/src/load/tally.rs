//! Counts what the clients of one service do, and keeps what went wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use anyhow::{Result, ensure};
use lb_lab::wait::wait_until;

use super::volume::{Target, Volume};

/// The tally of one service.
#[derive(Debug)]
pub struct Tally {
    target: Target,
    volume: Volume,
    opened: AtomicU64,
    closed: AtomicU64,
    visits: AtomicU64,
    answers: AtomicU64,
    bytes: AtomicU64,
    /// By server: segments that were lost.
    lost: Mutex<BTreeMap<String, i64>>,
    visited: Mutex<BTreeMap<String, u64>>,
    /// Number of visitors and askers that are at work now.
    present: AtomicU64,
    shut: AtomicBool,
    abandoned: AtomicBool,
    epoch: AtomicU64,
    /// Lasting connections, then UDP clients.
    lasting: Vec<Lasting>,
    faults: Mutex<Vec<String>>,
}

/// A client that stays as long as the load.
#[derive(Debug, Default)]
struct Lasting {
    /// Its server's name, once it is known.
    server: OnceLock<String>,
    /// The epoch in which it last exchanged data.
    spoken: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug)]
pub struct Mark {
    epoch: u64,
    visits: u64,
    answers: u64,
    bytes: u64,
}

/// A visitor or asker is at work, until this is dropped.
pub struct Visit<'a>(&'a Tally);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, SeqCst);
    }
}

impl Tally {
    pub(super) fn new(target: Target, volume: Volume) -> Self {
        let lasting = volume.talkers + volume.transfers + volume.askers;
        Self {
            target,
            volume,
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            visits: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lost: Mutex::default(),
            visited: Mutex::default(),
            present: AtomicU64::new(0),
            shut: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            lasting: (0..lasting).map(|_| Lasting::default()).collect(),
            faults: Mutex::new(Vec::new()),
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.target.name
    }

    /// Number of TCP connections opened so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.opened.load(SeqCst)
    }

    /// Number of TCP connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened.load(SeqCst) - self.closed.load(SeqCst)
    }

    /// Number of segments that clients sent again because they had not arrived, by the name of the
    /// server that they were for.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<String, i64> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.iter()
            .filter(|(_, lost)| **lost != 0)
            .map(|(server, lost)| (server.clone(), *lost))
            .collect()
    }

    /// Number of lasting TCP connections that a server has.
    #[must_use]
    pub fn lasting_on(&self, server: &str) -> usize {
        let connections = self.volume.talkers + self.volume.transfers;
        let connections = self.lasting.iter().take(connections);
        connections
            .filter(|lasting| lasting.server.get().is_some_and(|own| own == server))
            .count()
    }

    /// Number of visits so far, by the name of the server.
    #[must_use]
    pub fn visits(&self) -> BTreeMap<String, u64> {
        let visited = self.visited.lock().unwrap_or_else(PoisonError::into_inner);
        visited.clone()
    }

    /// Everything that went wrong, in sentences.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    /// Lets no visitor or asker begin any more, and waits until those at work have finished.
    /// Lasting connections continue.
    pub fn shut(&self) -> Result<()> {
        self.shut.store(true, SeqCst);
        wait_until("visitors and askers have gone", || {
            let present = self.present.load(SeqCst);
            ensure!(present == 0, "{present} are still here");
            Ok(())
        })
    }

    /// Lets visitors and askers begin again.
    pub fn reopen(&self) {
        self.shut.store(false, SeqCst);
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    /// Begins a new epoch, and returns the counts at this moment.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            epoch: self.epoch.fetch_add(1, SeqCst) + 1,
            visits: self.visits.load(SeqCst),
            answers: self.answers.load(SeqCst),
            bytes: self.bytes.load(SeqCst),
        }
    }

    /// Fails until every lasting client has exchanged data since the mark. Clients of servers that
    /// are gone do not count, nor do askers that may not begin.
    pub(super) fn everybody_spoke(&self, mark: &Mark, gone: &[&str]) -> Result<()> {
        let connections = self.volume.talkers + self.volume.transfers;
        let shut = self.shut.load(SeqCst);
        let silent = self.lasting.iter().enumerate().filter(|(place, lasting)| {
            let server = lasting.server.get();
            let excused = match *place < connections {
                true => server.is_some_and(|server| gone.contains(&server.as_str())),
                false => shut,
            };
            lasting.spoken.load(SeqCst) < mark.epoch && !excused
        });
        let (silent, all, name) = (silent.count(), self.lasting.len(), self.name());
        ensure!(silent == 0, "{name}: {silent} of {all} are silent");
        self.others_came(mark)
    }

    pub(super) fn went_on(&self, mark: &Mark) -> Result<()> {
        let bytes = self.bytes.load(SeqCst);
        let name = self.name();
        ensure!(bytes > mark.bytes, "{name}: no more than {bytes} bytes");
        self.others_came(mark)
    }

    /// Fails until there have been visits and answers since the mark, if they may begin.
    fn others_came(&self, mark: &Mark) -> Result<()> {
        let name = self.name();
        if !self.shut.load(SeqCst) {
            let more = |now: u64, then: u64, clients: usize| clients == 0 || now > then;
            let (visits, answers) = (self.visits.load(SeqCst), self.answers.load(SeqCst));
            let came = more(visits, mark.visits, self.volume.visitors);
            ensure!(came, "{name}: no more than {visits} visits");
            let asked = more(answers, mark.answers, self.volume.askers);
            ensure!(asked, "{name}: no more than {answers} answers");
        }
        Ok(())
    }

    /// The test is over: errors of clients do not count any more.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
    }

    /// Counts a visitor or asker as at work. `None` if none may begin.
    pub(super) fn come(&self) -> Option<Visit<'_>> {
        self.present.fetch_add(1, SeqCst);
        let visit = Visit(self);
        (!self.shut.load(SeqCst)).then_some(visit)
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, SeqCst);
    }

    pub(super) fn closed(&self) {
        self.closed.fetch_add(1, SeqCst);
    }

    pub(super) fn visited(&self, server: String) {
        let mut visited = self.visited.lock().unwrap_or_else(PoisonError::into_inner);
        *visited.entry(server).or_default() += 1;
        self.visits.fetch_add(1, SeqCst);
    }

    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, SeqCst);
    }

    pub(super) fn exchanged(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, SeqCst);
    }

    pub(super) fn lose(&self, server: &str, more: i64) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        *lost.entry(server.to_owned()).or_default() += more;
    }

    pub(super) fn spoke(&self, place: usize, server: &str, epoch: u64) {
        if let Some(lasting) = self.lasting.get(place) {
            lasting.server.get_or_init(|| server.to_owned());
            lasting.spoken.store(epoch, SeqCst);
        }
    }

    /// Notes how a client ended.
    pub(super) fn note(&self, who: &str, fared: Result<()>) {
        if let Err(error) = fared
            && !self.abandoned.load(SeqCst)
        {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.push(format!("{}, {who}: {error:#}", self.name()));
        }
    }
}
