//! `build`: builds lb-ctl, with the eBPF program in it.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};

use crate::{
    help::no_arguments,
    run::{cargo, release, run, step},
    setup,
};

/// Builds, and prints the binary's path.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    no_arguments("build", arguments)?;
    setup::toolchain()?;
    let binary = build()?;
    let size = fs::metadata(&binary)
        .with_context(|| format!("no binary {}", binary.display()))?
        .len();
    let megabytes = size as f64 / 1e6;
    writeln!(io::stdout(), "{} ({megabytes:.1} MB)", binary.display())?;
    Ok(())
}

/// Builds lb-ctl for release, and returns its path.
pub fn build() -> Result<PathBuf> {
    let title = "build lb-ctl with its eBPF programs (the first time, this takes minutes)";
    let mut command = cargo(&["build", "--release", "--package", "lb-ctl"]);
    step(title, || run(title, &mut command))?;
    release("lb-ctl")
}
