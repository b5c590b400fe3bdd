//! Running commands, so that a person sees which and how long.

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

/// A cargo in the workspace, as the user would call it.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(environment::cargo());
    environment::forget_package(&mut command)
        .current_dir(root())
        .args(arguments);
    // The user may have given it as a relative path, from another directory.
    if let Ok(target) = target() {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

/// Does a step: says its title before, its duration after.
pub fn step(title: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("==> {title}");
    let start = Instant::now();
    action()?;
    eprintln!("==> {title}: done in {}", seconds(start.elapsed()));
    Ok(())
}

/// Runs a command to its end.
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

/// Becomes the command: it gets the terminal, Ctrl-C and all signals, and its exit code is
/// the user's.
pub fn become_command(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {:?}", command.get_program()))
}

/// The target directory, wherever cargo was told to keep it: xtask is TARGET/debug/xtask.
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

/// A duration as a person reads it.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
