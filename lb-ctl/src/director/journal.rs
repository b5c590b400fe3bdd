//! What is being applied, so that the daemon that starts after a crash can finish it.

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use crate::{api, config::Source, instance::Instance};

/// The file `INSTANCE.applying`, beside the daemon's socket: like what is pinned, it lasts until
/// the machine is started again.
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// Of this instance.
    pub fn of(instance: &Instance) -> Self {
        Self {
            path: api::run_directory().join(format!("{instance}.applying")),
        }
    }

    /// Notes what is going to be applied.
    pub fn begin(&self, source: &Source) -> Result<()> {
        let write = || -> Result<()> {
            let folder = self.path.parent().context("it is in no folder")?;
            let mut new = NamedTempFile::new_in(folder)?;
            new.write_all(source.text.as_bytes())?;
            new.persist(&self.path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// What was going to be applied, and was not to the end.
    pub fn read(&self) -> Option<Source> {
        Some(Source {
            text: fs::read_to_string(&self.path).ok()?,
            name: self.path.display().to_string(),
        })
    }

    /// Notes that nothing is half done.
    pub fn end(&self) {
        // Most of the time it is not there.
        let _ = fs::remove_file(&self.path);
    }
}
