//! `bench`: measures what the director costs.

use std::{ffi::OsString, path::PathBuf, process::Command};

use anyhow::Result;
use xtask::{
    arguments::BENCH,
    toolchain::{Package, target_dir},
};

use crate::{
    build, help,
    run::{become_command, cargo, release, run, step, target},
    setup,
};

/// Builds, then replaces this process by the benchmark, which gets the arguments.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    BENCH
        .check(arguments)
        .map_err(|reason| help::refuse("bench", &reason))?;
    let toolchain = setup::toolchain()?;
    setup::bench_packages()?;
    let binary = build::build()?;
    let title = "build the benchmark";
    let mut command = cargo(&["build", "--release"]);
    command.args(["--package", "lb-bench", "--bin", "bench"]);
    command.args(["--package", "lb-tests", "--bin", "lab-host"]);
    let objects = target_dir(&target()?);
    let mut object = PathBuf::new();
    step(title, || {
        object = toolchain.build(Package::Bench, &objects)?;
        run(title, &mut command)
    })?;
    let mut bench = Command::new(release("bench")?);
    bench
        .args(arguments)
        .env("LB_CTL", binary)
        .env("LB_BENCH_OBJECT", object);
    if arguments.iter().any(|argument| argument == "guest") {
        bench.env("LB_GUEST", setup::guest()?);
    }
    become_command(&mut bench)
}
