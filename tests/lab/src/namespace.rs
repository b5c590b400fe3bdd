//! Network namespaces. Each is removed when its value is dropped.
//!
//! Only the *network* namespace is entered: `ip netns exec` would also mount a new `/sys`, without
//! the machine's bpffs.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{self, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::{
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns},
};

const DIRECTORY: &str = "/run/netns";
const PREFIX: &str = "lb";

/// A network namespace, under a name that `ip -n` and `nsenter --net` understand.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: Arc<File>,
}

/// A prefix for names, `lb-<process>-<number>`, which nothing else on this machine has.
#[must_use]
pub fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}-{}-{number}", process::id())
}

/// The process that made a [`unique_prefix`].
fn owner(name: &str) -> Option<u32> {
    let mut parts = name.split('-');
    let ours = parts.next() == Some(PREFIX);
    let owner = parts.next().filter(|_| ours)?;
    owner.parse().ok()
}

/// Whether a name begins with a [`unique_prefix`] whose process does not exist any more.
#[must_use]
pub fn is_leftover(name: &str) -> bool {
    let process = owner(name).map(|owner| Path::new("/proc").join(owner.to_string()));
    process.is_some_and(|process| !process.exists())
}

/// The processes that have namespaces on this machine.
#[must_use]
pub fn owners() -> BTreeSet<u32> {
    names().filter_map(|name| owner(&name)).collect()
}

/// Removes the namespaces of processes that died without cleaning up.
pub fn remove_leftovers() {
    for name in names().filter(|name| is_leftover(name)) {
        delete(&name);
    }
}

fn names() -> impl Iterator<Item = String> {
    // If no namespace was ever made, the directory does not exist.
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

impl Namespace {
    /// Makes a namespace. Its sysctls are set to a defined state: no forwarding, no reverse path
    /// filter, no IPv6.
    pub fn create(name: &str) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "labs are made of network namespaces and need root: run this again with sudo"
        );
        let output = Command::new("ip")
            .args(["netns", "add", name])
            .output()
            .context("run `ip`: is iproute2 installed?")?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip netns add {name}: {message}");
        let path = Path::new(DIRECTORY).join(name);
        let handle = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let namespace = Self {
            name: name.to_owned(),
            handle: Arc::new(handle),
        };
        namespace.sysctls(&[
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
            ("ipv4/ip_forward", "0"),
            // A new namespace takes over the machine's own settings (devconf_inherit_init_net,
            // Linux 5.1).
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/all/arp_ignore", "0"),
            ("ipv4/conf/all/arp_announce", "0"),
        ])?;
        namespace.ip(["link set lo up"])?;
        Ok(namespace)
    }

    /// Its name in `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a closure in the namespace, in a thread of its own. A socket stays in the namespace in
    /// which it was made, so it is enough to make it here.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let enter_and_work = || {
            setns(self.handle.as_ref(), CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("enter the namespace {}", self.name))?;
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join())
            .map_err(|_| anyhow!("panicked in the namespace {}", self.name))?
    }

    /// As [`inside`](Self::inside), but does not wait for the closure to end.
    #[must_use]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let (handle, name) = (Arc::clone(&self.handle), self.name.clone());
        thread::spawn(move || {
            setns(handle.as_ref(), CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("enter the namespace {name}"))?;
            work()
        })
    }

    /// A command that runs in the namespace. Its process is killed when the calling thread ends.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let handle = Arc::clone(&self.handle);
        let mut command = Command::new(program.as_ref());
        let enter = move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            Ok(setns(handle.as_ref(), CloneFlags::CLONE_NEWNET)?)
        };
        // SAFETY: between fork and exec only two system calls are made; nothing allocates.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Runs commands of `ip`, all in one process of it.
    pub fn ip<C: AsRef<str>>(&self, commands: impl IntoIterator<Item = C>) -> Result<()> {
        let mut batch = String::new();
        for command in commands {
            batch.push_str(command.as_ref());
            batch.push('\n');
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut ip = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("run `ip`")?;
        if let Some(mut input) = ip.stdin.take() {
            input.write_all(batch.as_bytes()).context("write to `ip`")?;
        }
        let output = ip.wait_with_output().context("wait for `ip`")?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("in the namespace {}: {message}of\n{batch}", self.name);
        }
        Ok(())
    }

    /// The MAC address of an interface.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        self.inside(|| {
            let mut entries = getifaddrs()?.filter(|entry| entry.interface_name == interface);
            let mac = entries.find_map(|entry| entry.address?.as_link_addr()?.addr());
            mac.with_context(|| format!("no Ethernet interface {interface} in {}", self.name))
        })
    }

    /// Sets sysctls. Names begin below `net/`: `("ipv4/ip_forward", "1")`.
    pub fn sysctls(&self, settings: &[(&str, &str)]) -> Result<()> {
        // The thread that opens a file of /proc/sys/net decides whose settings it shows.
        self.inside(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys/net").join(key);
                fs::write(&path, value).with_context(|| {
                    format!("write {value} to {} in {}", path.display(), self.name)
                })?;
            }
            Ok(())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

fn delete(name: &str) {
    // Without a complaint: two processes may be removing the same leftovers.
    let _ = Command::new("ip")
        .args(["netns", "del", name])
        .stderr(Stdio::null())
        .status();
}
