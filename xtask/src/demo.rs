//! `demo`: shows the director in a lab of namespaces.

use std::{ffi::OsString, process::Command};

use anyhow::Result;
use xtask::arguments::DEMO;

use crate::{
    build, help,
    run::{become_command, cargo, release, run, step},
    setup,
};

/// Builds, then replaces this process by the demo. So Ctrl-C reaches the demo, which removes its
/// lab.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    DEMO.check(arguments)
        .map_err(|reason| help::refuse("demo", &reason))?;
    let demo = release("demo")?;
    // A demo that runs was built before: to end it, nothing need be built.
    if arguments.iter().any(|argument| argument == "--down") && demo.exists() {
        return become_command(Command::new(demo).args(arguments));
    }
    setup::toolchain()?;
    setup::test_packages()?;
    let binary = build::build()?;
    let title = "build the demo";
    let mut command = cargo(&["build", "--release", "--package", "lb-tests", "--bins"]);
    step(title, || run(title, &mut command))?;
    become_command(Command::new(demo).args(arguments).env("LB_CTL", binary))
}
