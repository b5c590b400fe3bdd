//! The core's lines in the log.

use std::time::Instant;

use crate::{
    core::{By, Level, Told},
    repeats::Repeats,
};

/// The log, which holds lines back that come too often.
#[derive(Debug, Default)]
pub struct Log(Repeats);

impl Log {
    /// Logs lines, with fields that say who asked for the change.
    pub fn tell(&mut self, mut told: Told, now: Instant) {
        if let Some(subject) = &told.about {
            let level = told.level;
            let passes = |line: &String| self.0.passes(subject, level, line, now);
            told.lines.retain(passes);
        }
        tell(&told);
    }

    /// Logs what was held back long enough. To be called every second.
    pub fn tick(&mut self, now: Instant) {
        for (level, line) in self.0.due(now) {
            Told::lines(level, vec![line]).iter().for_each(tell);
        }
    }

    /// Logs all that is held back.
    pub fn end(&mut self) {
        for (level, line) in self.0.end() {
            Told::lines(level, vec![line]).iter().for_each(tell);
        }
    }
}

fn tell(told: &Told) {
    for line in &told.lines {
        match &told.by {
            None => match told.level {
                Level::Info => tracing::info!("{line}"),
                Level::Warn => tracing::warn!("{line}"),
                Level::Error => tracing::error!("{line}"),
            },
            Some(By::Peer { peer, verb }) => {
                // Escaped: the client chooses the verb, and could put line breaks into it.
                let (uid, pid, verb) = (peer.uid, peer.pid, verb.escape_debug().to_string());
                match told.level {
                    Level::Info => tracing::info!(uid, pid, verb, "{line}"),
                    Level::Warn => tracing::warn!(uid, pid, verb, "{line}"),
                    Level::Error => tracing::error!(uid, pid, verb, "{line}"),
                }
            }
            Some(by) => match told.level {
                Level::Info => tracing::info!(%by, "{line}"),
                Level::Warn => tracing::warn!(%by, "{line}"),
                Level::Error => tracing::error!(%by, "{line}"),
            },
        }
    }
}
