//! Installs rustup's nightly, with the source of `core`.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::run::run;

/// Installs it if it is missing.
pub const INSTALL: [&str; 8] = [
    "rustup",
    "toolchain",
    "install",
    "nightly",
    "--component",
    "rust-src",
    "--profile",
    "minimal",
];

/// An installed nightly is not updated; only missing components are added.
const COMPLETE: [&str; 6] = [
    "rustup",
    "component",
    "add",
    "--toolchain",
    "nightly",
    "rust-src",
];

/// Installs the nightly, or its missing components.
pub fn install() -> Result<()> {
    let is_there = Command::new("rustup")
        .args(["which", "--toolchain", "nightly", "rustc"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let words: &[&str] = if is_there { &COMPLETE } else { &INSTALL };
    run(
        &words.join(" "),
        Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null()),
    )
}
