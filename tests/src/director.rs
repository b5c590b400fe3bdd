//! The director under test: `lb-ctl`, run as its users run it, in the namespace of the lab's host
//! `director`.

use std::{
    collections::BTreeMap,
    env, fs, iter,
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lb_lab::{
    lab::{Lab, PINS},
    namespace::Namespace,
    process::{self, Output, Process},
    wait::wait_until,
};
use nix::{sys::signal::Signal, unistd::Pid};
use serde::Deserialize;
use tempfile::TempDir;

use crate::tables::{Connection, Stats, Table};

/// Environment variable that names the binary under test. Default: the workspace's own build.
const BINARY: &str = "LB_CTL";
/// Environment variable that makes a director end after a step, as if by `kill -9`.
const CRASH: &str = lb_dataplane::crash::VARIABLE;
/// Environment variable that names the directory of a director's socket.
const RUN_DIRECTORY: &str = "LB_RUN_DIR";

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The director chooses.
    Auto,
    /// By the driver (native XDP).
    Native,
    /// By the kernel's network stack (generic XDP).
    Generic,
}

impl Mode {
    /// As `lb-ctl` writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// A director. Dropping it removes its program and its maps.
#[derive(Debug)]
pub struct Director {
    namespace: Arc<Namespace>,
    binary: PathBuf,
    instance: String,
    directory: TempDir,
    mode: Mode,
    daemon: Option<Process>,
}

impl Director {
    /// Starts the lab's director with a configuration, and waits until it forwards. In native mode,
    /// which a lab's switches support; `auto` cannot know that, and would choose generic mode.
    pub fn start(lab: &Lab, configuration: &str) -> Result<Self> {
        Self::start_in(Mode::Native, lab, configuration)
    }

    /// As [`Director::start`], in this mode.
    pub fn start_in(mode: Mode, lab: &Lab, configuration: &str) -> Result<Self> {
        let namespace = Arc::clone(lab.host("director")?);
        Self::start_as(lab.prefix(), mode, namespace, configuration)
    }

    /// As [`Director::start_in`], in any namespace, under this instance name.
    pub fn start_as(
        instance: &str,
        mode: Mode,
        namespace: Arc<Namespace>,
        configuration: &str,
    ) -> Result<Self> {
        let mut director = Self {
            namespace,
            binary: binary()?,
            instance: instance.to_owned(),
            directory: TempDir::with_prefix("lb-")?,
            mode,
            daemon: None,
        };
        director.write("lb.yaml", configuration)?;
        director.run("lb.yaml")?;
        Ok(director)
    }

    /// Starts the daemon when it is not running. Its configuration is a file in the director's own
    /// directory.
    pub fn run(&mut self, file: &str) -> Result<()> {
        let daemon = self.spawn(file, "")?;
        self.serve(daemon)
    }

    /// As [`run`](Self::run), but by `ip netns exec`, which gives the daemon a `/sys` of its own.
    pub fn run_apart(&mut self, file: &str) -> Result<()> {
        let mut command = self.namespace.command("ip");
        command.args(["netns", "exec", self.namespace.name()]);
        command.arg(fs::canonicalize(&self.binary)?);
        let daemon = self.spawn_as(command, file)?;
        self.serve(daemon)
    }

    /// As [`run`](Self::run), but in a mount namespace where bpffs is mounted anew.
    pub fn run_with_own_bpffs(&mut self, file: &str) -> Result<()> {
        let binary = fs::canonicalize(&self.binary)?;
        let script = format!(
            "mount -t bpf -o mode=0700 bpf /sys/fs/bpf && exec {} \"$@\"",
            binary.display()
        );
        let mut command = self.namespace.command("unshare");
        command.args(["--mount", "sh", "-c", &script, "lb-ctl"]);
        let daemon = self.spawn_as(command, file)?;
        self.serve(daemon)
    }

    /// As [`run`](Self::run), but in a time namespace whose monotonic clock is ahead by so many
    /// seconds.
    pub fn run_ahead(&mut self, seconds: u64, file: &str) -> Result<()> {
        let mut command = self.namespace.command("unshare");
        command.args(["--time", "--fork", "--kill-child"]);
        command.arg(format!("--monotonic={seconds}"));
        command.arg(fs::canonicalize(&self.binary)?);
        let daemon = self.spawn_as(command, file)?;
        self.serve(daemon)
    }

    /// As [`run`](Self::run), but the daemon will crash after a step, written `STEP` or `STEP:N`.
    pub fn run_until(&mut self, step: &str, file: &str) -> Result<()> {
        let daemon = self.spawn(file, step)?;
        self.serve(daemon)
    }

    /// Starts the daemon, which crashes after a step while it starts.
    pub fn crash_at_start(&mut self, step: &str, file: &str) -> Result<()> {
        self.daemon = Some(self.spawn(file, step)?);
        self.wait_for_crash()
    }

    /// Waits until the daemon has crashed.
    pub fn wait_for_crash(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the daemon does not run")?;
        let status = wait_until("the daemon crashes", || daemon.ended())?;
        let crashed = status.signal() == Some(Signal::SIGKILL as i32);
        ensure!(crashed, "it ended with {status}:\n{}", daemon.log()?);
        Ok(())
    }

    fn serve(&mut self, mut daemon: Process) -> Result<()> {
        wait_until("the daemon answers", || match daemon.ensure_running() {
            // Without a daemon, the kernel would be read.
            Ok(()) => {
                let pid = self.stats()?.pid;
                ensure!(pid != 0, "the daemon does not listen yet");
                Ok(Ok(()))
            }
            // If it has ended, it will not answer any more: stop waiting.
            ended => Ok(ended),
        })??;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// As [`run`](Self::run), but returns the time from the start until the daemon says that it is
    /// ready.
    pub fn run_timed(&mut self, file: &str) -> Result<Duration> {
        let started = Instant::now();
        let mut daemon = self.spawn(file, "")?;
        daemon.wait_for_output("ready: ")?;
        let took = started.elapsed();
        self.daemon = Some(daemon);
        Ok(took)
    }

    fn spawn(&self, file: &str, crash: &str) -> Result<Process> {
        let mut command = self.namespace.command(&self.binary);
        if !crash.is_empty() {
            command.env(CRASH, crash);
        }
        self.spawn_as(command, file)
    }

    /// Starts the daemon by a command, which gets the daemon's arguments.
    fn spawn_as(&self, mut command: Command, file: &str) -> Result<Process> {
        command.env(RUN_DIRECTORY, self.directory.path());
        command.args(["--instance", &self.instance]);
        command.args(["run", "--mode", self.mode.name(), "--config"]);
        command.arg(self.path(file));
        Process::start(&format!("{} lb-ctl run", self.instance), &mut command)
    }

    /// The daemon's process, while it runs.
    pub fn process(&self) -> Result<Pid> {
        let daemon = self.daemon.as_ref().context("the daemon does not run")?;
        Ok(Pid::from_raw(daemon.id().try_into()?))
    }

    /// The daemon's log so far, while it runs.
    pub fn log(&self) -> Result<String> {
        let daemon = self.daemon.as_ref().context("the daemon does not run")?;
        daemon.log()
    }

    /// The daemon's log as soon as it has these words: what it logs is written a little later.
    pub fn log_with(&self, words: &str) -> Result<String> {
        wait_until("the log says so", || {
            let log = self.log()?;
            ensure!(log.contains(words), "{words:?} is not in:\n{log}");
            Ok(log)
        })
    }

    /// Ends the daemon by a signal. The program that it loaded continues to forward.
    pub fn end(&mut self, signal: Signal) -> Result<()> {
        let daemon = self.daemon.take();
        let mut daemon = daemon.context("the daemon does not run")?;
        daemon.end(signal).map(drop)
    }

    /// Runs a command of `lb-ctl`, which must succeed. Returns its stdout.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_command(arguments)?;
        let command = arguments.join(" ");
        ensure!(output.code == Some(0), "lb-ctl {command}: {output:?}");
        Ok(output.stdout)
    }

    /// Runs a command of `lb-ctl`.
    pub fn try_command(&self, arguments: &[&str]) -> Result<Output> {
        process::run(self.lb_ctl().args(arguments))
    }

    /// Runs a command of `lb-ctl` that crashes after a step.
    pub fn crash_command(&self, step: &str, arguments: &[&str]) -> Result<()> {
        let output = process::run(self.lb_ctl().args(arguments).env(CRASH, step))?;
        ensure!(output.code.is_none(), "it did not crash: {output:?}");
        Ok(())
    }

    /// Runs a command of `lb-ctl`, which must succeed but may take any time. Returns how long it
    /// took, and its stdout.
    pub fn timed(&self, arguments: &[&str]) -> Result<(Duration, String)> {
        self.timed_with(Stdio::null(), arguments)
    }

    /// As [`timed`](Self::timed), with this standard input.
    pub fn timed_with(&self, input: Stdio, arguments: &[&str]) -> Result<(Duration, String)> {
        let mut command = self.lb_ctl();
        command.args(arguments).stdin(input);
        let started = Instant::now();
        let output = command
            .output()
            .with_context(|| format!("run {command:?}"))?;
        let took = started.elapsed();
        let complaint = String::from_utf8_lossy(&output.stderr);
        let command = arguments.join(" ");
        ensure!(
            output.status.success(),
            "lb-ctl {command}: {}\n{complaint}",
            output.status
        );
        Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Runs a shell script on the director's machine. There, `lb-ctl`, `ipvsadm`, `ipvsadm-save`
    /// and `ipvsadm-restore` are the binary under test, and talk to this director.
    pub fn script(&self, script: &str) -> Result<Output> {
        process::run(&mut self.shell(script)?)
    }

    /// The shell that runs a [script](Self::script), in the director's own directory.
    pub fn shell(&self, script: &str) -> Result<Command> {
        let links = self.path("bin");
        if !links.exists() {
            fs::create_dir(&links)?;
            for name in ["lb-ctl", "ipvsadm", "ipvsadm-save", "ipvsadm-restore"] {
                symlink(fs::canonicalize(&self.binary)?, links.join(name))?;
            }
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let path = iter::once(links).chain(env::split_paths(&path));
        let mut shell = self.namespace.command("sh");
        shell
            .env("PATH", env::join_paths(path)?)
            .env("LB_INSTANCE", &self.instance)
            .env(RUN_DIRECTORY, self.directory.path())
            .current_dir(self.directory.path())
            .args(["-c", script]);
        Ok(shell)
    }

    /// As [`script`](Self::script), but the script must succeed and write nothing to stderr.
    /// Returns its stdout.
    pub fn done(&self, script: &str) -> Result<String> {
        let output = self.script(script)?;
        let fine = output.code == Some(0) && output.stderr.is_empty();
        ensure!(fine, "{script}: {output:?}");
        Ok(output.stdout)
    }

    /// The counters.
    pub fn stats(&self) -> Result<Stats> {
        let stats = self.command(&["stats", "--json"])?;
        serde_json::from_str(&stats).with_context(|| format!("read the counters {stats}"))
    }

    /// How full the connection table is.
    pub fn table(&self) -> Result<Table> {
        Ok(self.stats()?.connections)
    }

    /// The connections in the table.
    pub fn connections(&self) -> Result<Vec<Connection>> {
        let rows = self.command(&["conns", "--json", "--limit", "1000000"])?;
        serde_json::from_str(&rows).with_context(|| format!("read the connections {rows}"))
    }

    /// The state of each server's connection, where it has one.
    pub fn states(&self) -> Result<BTreeMap<String, String>> {
        let rows = self.connections()?.into_iter();
        Ok(rows.map(|row| (row.server, row.state)).collect())
    }

    /// How an XDP program is attached to an interface of the director, if one is.
    pub fn attached(&self, interface: &str) -> Result<Option<Mode>> {
        let xdp = self.xdp(interface)?;
        Ok(xdp.map(|xdp| match xdp.mode {
            XDP_ATTACHED_SKB => Mode::Generic,
            _ => Mode::Native,
        }))
    }

    /// The kernel's number for the program on an interface of the director.
    pub fn program(&self, interface: &str) -> Result<u32> {
        Ok(self.program_on(interface)?.id)
    }

    /// The kernel's digest of the instructions of the program on an interface of the director.
    pub fn digest(&self, interface: &str) -> Result<String> {
        Ok(self.program_on(interface)?.tag)
    }

    fn program_on(&self, interface: &str) -> Result<Program> {
        let xdp = self.xdp(interface)?;
        let xdp = xdp.with_context(|| format!("no XDP program on the director's {interface}"))?;
        Ok(xdp.prog)
    }

    fn xdp(&self, interface: &str) -> Result<Option<Xdp>> {
        let mut ip = Command::new("ip");
        ip.args(["-json", "-details", "-netns", self.namespace.name()]);
        let output = process::run(ip.args(["link", "show", "dev", interface]))?;
        let links: Vec<Link> = serde_json::from_str(&output.stdout)
            .with_context(|| format!("read what ip says of {interface}: {output:?}"))?;
        Ok(links.into_iter().find_map(|link| link.xdp))
    }

    /// Writes a file in the director's own directory. Returns its path.
    pub fn write(&self, file: &str, content: &str) -> Result<PathBuf> {
        let path = self.path(file);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The path of a file in the director's own directory.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// The directory of its pins.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(&self.instance)
    }

    /// The instance's name.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Uses another binary from now on.
    pub fn upgrade(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// The binary under test.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    fn lb_ctl(&self) -> Command {
        let mut command = self.namespace.command(&self.binary);
        command
            .env(RUN_DIRECTORY, self.directory.path())
            .args(["--instance", &self.instance]);
        command
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        if let Err(error) = self.command(&["detach"]) {
            eprintln!("{error:#}");
        }
        self.daemon = None;
        // Pins that `detach` left would keep the maps' memory until the next boot.
        let _ = fs::remove_dir_all(self.pins());
    }
}

/// A row of `ip -json link show`.
#[derive(Deserialize)]
struct Link {
    xdp: Option<Xdp>,
}

#[derive(Deserialize)]
struct Xdp {
    mode: u8,
    prog: Program,
}

#[derive(Deserialize)]
struct Program {
    id: u32,
    tag: String,
}

/// linux/if_link.h
const XDP_ATTACHED_SKB: u8 = 2;

fn binary() -> Result<PathBuf> {
    if let Some(binary) = env::var_os(BINARY) {
        return Ok(binary.into());
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let mut built = ["release", "debug"]
        .map(|profile| target.join(profile).join("lb-ctl"))
        .into_iter();
    built.find(|path| path.is_file()).with_context(|| {
        format!("no lb-ctl to test: build it with `cargo build --release`, or name one in {BINARY}")
    })
}
