//! The limit of files and sockets that a process may have open.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises this process's limit as far as the system allows. The usual limit of 1024 is too low for
/// thousands of connections.
pub fn allow_many() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("ask for the limit of files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of files")
}
