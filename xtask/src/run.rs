//! Runs commands, and tells the user which, and how long they took.

use std::{
    env,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use xtask::{environment, root};

use crate::failure::Failed;

/// A cargo command in the workspace, as the user would run it.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(environment::cargo());
    environment::forget_package(&mut command)
        .current_dir(root())
        .args(arguments);
    // The user may have given a relative path, from another directory.
    if let Ok(target) = target() {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

/// Runs a step. Prints its title before, and its duration after.
pub fn step(title: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("==> {title}");
    let start = Instant::now();
    action()?;
    eprintln!("==> {title}: done in {}", seconds(start.elapsed()));
    Ok(())
}

/// Runs a command and waits for its end.
pub fn run(title: &str, command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{title}: cannot run {:?}", command.get_program()))?;
    if !status.success() {
        let title = title.to_owned();
        bail!(Failed { title, status });
    }
    Ok(())
}

/// Replaces this process by the command, which so gets the terminal, Ctrl-C and all signals. Its
/// exit code is what the user sees.
pub fn become_command(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {:?}", command.get_program()))
}

/// The target directory: xtask itself is TARGET/debug/xtask.
pub fn target() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where xtask was built")?;
    let target = own.parent().and_then(|profile| profile.parent());
    target
        .map(PathBuf::from)
        .with_context(|| format!("{} is not in a target directory", own.display()))
}

/// A program of the workspace's release build.
pub fn release(name: &str) -> Result<PathBuf> {
    Ok(target()?.join("release").join(name))
}

/// A duration in words.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
