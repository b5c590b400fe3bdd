//! How many files and sockets a process may have open.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process have as many as it may: for thousands of connections, the usual limit of
/// 1024 is too low.
pub fn allow_many() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("ask for the limit of files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of files")
}
