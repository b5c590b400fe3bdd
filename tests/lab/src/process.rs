//! Processes of a lab. A process ends when its value is dropped. When a test fails, its output is
//! shown.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tempfile::NamedTempFile;

use crate::wait::{PATIENCE, wait_at_most, wait_until};

/// A process that runs until it is told to end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: NamedTempFile,
}

impl Process {
    /// Starts a command. The name is for messages.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let log = NamedTempFile::new().context("make a file for the output of a process")?;
        let child = command
            // Ctrl-C must reach only the process that made the lab, which then ends this one.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.reopen()?))
            .stderr(Stdio::from(File::options().append(true).open(log.path())?))
            .spawn()
            .with_context(|| format!("start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Waits until a line of its output contains `words`.
    pub fn wait_for_output(&mut self, words: &str) -> Result<()> {
        let what = format!("{} says {words:?}", self.name);
        wait_until(&what, || {
            let running = self.ensure_running();
            let said = self.log()?.contains(words);
            // If it has ended, its output does not change any more: stop waiting.
            ensure!(said || running.is_err(), "not yet");
            Ok(if said { Ok(()) } else { running })
        })?
    }

    /// What it has written so far, to stdout and stderr.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(self.log.path())
            .with_context(|| format!("read the log of {}", self.name))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, self.log()?);
        }
        Ok(())
    }

    /// Its exit status, or an error while it still runs.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        self.child.try_wait()?.context("it still runs")
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let process = Pid::from_raw(self.child.id().try_into()?);
        kill(process, signal).with_context(|| format!("send {signal} to {}", self.name))?;
        let what = format!("{} ends after {signal}", self.name);
        wait_until(&what, || self.child.try_wait()?.context("it still runs"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log().unwrap_or_default();
            eprintln!("---- {} ----\n{log}", self.name);
        }
    }
}

/// The result of a command that ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Runs a command to its end, for at most [`PATIENCE`].
pub fn run(command: &mut Command) -> Result<Output> {
    run_at_most(PATIENCE, command)
}

fn run_at_most(patience: Duration, command: &mut Command) -> Result<Output> {
    let (mut stdout, mut stderr) = (NamedTempFile::new()?, NamedTempFile::new()?);
    let mut child = command
        // So that what a shell has started can be ended with it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::from(stdout.reopen()?))
        .stderr(Stdio::from(stderr.reopen()?))
        .spawn()
        .with_context(|| format!("run {command:?}"))?;
    let status = wait_at_most(patience, "a command ends", || {
        child.try_wait()?.context("it still runs")
    });
    if status.is_err() {
        let _ = killpg(Pid::from_raw(child.id().try_into()?), Signal::SIGKILL);
        let _ = child.wait();
    }
    let mut output = Output {
        code: None,
        stdout: String::new(),
        stderr: String::new(),
    };
    stdout.read_to_string(&mut output.stdout)?;
    stderr.read_to_string(&mut output.stderr)?;
    output.code = status
        .with_context(|| format!("{command:?}, which wrote {output:?}"))?
        .code();
    Ok(output)
}
