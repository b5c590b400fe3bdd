//! What is known of the clients of one service.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};

use anyhow::{Result, ensure};

use super::{Target, Volume};
use crate::wait::wait_until;

/// Counts, and what went wrong.
#[derive(Debug)]
pub struct Tally {
    target: Target,
    volume: Volume,
    opened: AtomicU64,
    closed: AtomicU64,
    visits: AtomicU64,
    answers: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicI64,
    visited: Mutex<BTreeMap<String, u64>>,
    /// Of those who come again and again, how many are here.
    present: AtomicU64,
    shut: AtomicBool,
    abandoned: AtomicBool,
    epoch: AtomicU64,
    /// Lasting connections, then UDP clients: the epoch in which they were last heard.
    spoken: Vec<AtomicU64>,
    faults: Mutex<Vec<String>>,
}

/// How far all was at some moment.
#[derive(Debug)]
pub struct Mark {
    epoch: u64,
    visits: u64,
    answers: u64,
    bytes: u64,
}

/// Somebody is here.
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
            lost: AtomicI64::new(0),
            visited: Mutex::default(),
            present: AtomicU64::new(0),
            shut: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            spoken: (0..lasting).map(|_| AtomicU64::new(0)).collect(),
            faults: Mutex::new(Vec::new()),
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.target.name
    }

    /// TCP connections that were opened so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.opened.load(SeqCst)
    }

    /// TCP connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened.load(SeqCst) - self.closed.load(SeqCst)
    }

    /// Segments that clients sent again because they had not arrived.
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.lost.load(SeqCst)
    }

    /// Visits so far, by the name of the server that had them.
    #[must_use]
    pub fn visits(&self) -> BTreeMap<String, u64> {
        let visited = self.visited.lock().unwrap_or_else(PoisonError::into_inner);
        visited.clone()
    }

    /// What went wrong.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    /// Lets no visitor and no asker come any more, and waits until those that are here have
    /// gone. Lasting connections go on.
    pub fn shut(&self) -> Result<()> {
        self.shut.store(true, SeqCst);
        wait_until("visitors and askers have gone", || {
            let present = self.present.load(SeqCst);
            ensure!(present == 0, "{present} are still here");
            Ok(())
        })
    }

    /// Lets them come again.
    pub fn reopen(&self) {
        self.shut.store(false, SeqCst);
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    /// A new epoch begins.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            epoch: self.epoch.fetch_add(1, SeqCst) + 1,
            visits: self.visits.load(SeqCst),
            answers: self.answers.load(SeqCst),
            bytes: self.bytes.load(SeqCst),
        }
    }

    pub(super) fn everybody_spoke(&self, mark: &Mark) -> Result<()> {
        let spoken = self.spoken.iter();
        let silent = spoken.filter(|spoken| spoken.load(SeqCst) < mark.epoch);
        // Those that may not come cannot speak.
        let excused = match self.shut.load(SeqCst) {
            true => self.volume.askers,
            false => 0,
        };
        let (silent, all) = (silent.count(), self.spoken.len());
        let name = self.name();
        ensure!(silent <= excused, "{name}: {silent} of {all} are silent");
        self.went_on(mark)
    }

    pub(super) fn went_on(&self, mark: &Mark) -> Result<()> {
        let name = self.name();
        let bytes = self.bytes.load(SeqCst);
        ensure!(bytes > mark.bytes, "{name}: no more than {bytes} bytes");
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

    /// The test is over, whatever becomes of the clients.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
    }

    /// Says that a visitor is here, unless none may come.
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

    pub(super) fn lose(&self, more: i64) {
        self.lost.fetch_add(more, SeqCst);
    }

    pub(super) fn spoke(&self, place: usize, epoch: u64) {
        if let Some(spoken) = self.spoken.get(place) {
            spoken.store(epoch, SeqCst);
        }
    }

    /// How a client fared.
    pub(super) fn note(&self, who: &str, fared: Result<()>) {
        if let Err(error) = fared
            && !self.abandoned.load(SeqCst)
        {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.push(format!("{}, {who}: {error:#}", self.name()));
        }
    }
}
