//! `demo`: shows the director in a lab of namespaces.

use std::{ffi::OsString, process::Command};

use anyhow::{Result, bail};

use crate::{
    build,
    failure::Usage,
    run::{become_command, cargo, release, run, step},
    setup,
};

/// Builds, then replaces this process by the demo. So Ctrl-C reaches the demo, which removes its
/// lab.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    let known = |argument: &&OsString| *argument != "--keep" && *argument != "--down";
    if let Some(argument) = arguments.iter().find(known) {
        bail!(Usage(format!(
            "unknown argument {argument:?}\nusage: cargo xtask demo [--keep | --down]"
        )));
    }
    setup::toolchain()?;
    setup::test_packages()?;
    let binary = build::build()?;
    let title = "build the demo";
    let mut command = cargo(&["build", "--release", "--package", "lb-tests", "--bins"]);
    step(title, || run(title, &mut command))?;
    become_command(
        Command::new(release("demo")?)
            .args(arguments)
            .env("LB_CTL", binary),
    )
}
