//! `attach`: builds the director and runs it in the foreground.

use std::{ffi::OsString, process::Command};

use anyhow::Result;
use xtask::arguments::RUN;

use crate::{build, help, run::become_command, setup};

/// Builds, then replaces this process by `lb-ctl run` with these arguments.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    RUN.check(arguments)
        .map_err(|reason| help::refuse("attach", &reason))?;
    setup::toolchain()?;
    let binary = build::build()?;
    become_command(Command::new(binary).arg("run").args(arguments))
}
