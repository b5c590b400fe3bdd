//! Runs commands, and tells the user which, and how long they took.

use std::{
    env,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
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

/// Runs a step. Prints its title before, and its duration after; in between, from time to time,
/// that it still runs: cargo prints nothing while it links, which takes minutes.
pub fn step(title: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("==> {title}");
    let start = Instant::now();
    with_reminder(
        REMINDER,
        |elapsed| eprintln!("==> {title}: still running after {elapsed}"),
        action,
    )?;
    eprintln!("==> {title}: done in {}", seconds(start.elapsed()));
    Ok(())
}

/// How often a step says that it still runs.
const REMINDER: Duration = Duration::from_secs(10);

/// Runs an action; tells every so often for how long it has been running.
fn with_reminder<T>(
    every: Duration,
    remind: impl Fn(String) + Send,
    action: impl FnOnce() -> T,
) -> T {
    let start = Instant::now();
    thread::scope(|scope| {
        let (end, ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                remind(seconds(start.elapsed()));
            }
        });
        let result = action();
        drop(end);
        result
    })
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_long_step_says_that_it_still_runs_until_it_ends() {
        let (told, two) = mpsc::channel();
        let told = Mutex::new(told);
        let remind = |elapsed| {
            // Nobody listens any more after the second time.
            let _ = told.lock().map(|told| told.send(elapsed));
        };
        let said = with_reminder(Duration::from_millis(10), remind, move || {
            [two.recv(), two.recv()].map(Result::unwrap_or_default)
        });
        assert!(
            said.iter().all(|elapsed| elapsed.ends_with(" s")),
            "{said:?}"
        );
    }
}
