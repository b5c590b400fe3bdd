//! The core's lines in the log.

use crate::core::{By, Level, Told};

/// Logs lines, with fields that say who asked for the change.
pub fn tell(told: &Told) {
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
