//! Finds bpffs, the file system that has pins.
//!
//! It has to be the one of the machine. `ip netns exec` gives a command a mount namespace with a
//! fresh `/sys`, which goes away with the last process in it, and pins there with it. So if this
//! process sees no bpffs, the one is used that the nearest of its ancestors sees.

use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

const FOLDER: &str = "/sys/fs/bpf";

/// The folder where bpffs is mounted.
#[derive(Clone, Debug)]
pub struct Bpffs {
    path: PathBuf,
    /// Keeps the path valid, if it leads into another namespace.
    _root: Option<Arc<OwnedFd>>,
}

impl Bpffs {
    /// Where it is mounted, or else where it would be.
    pub fn find() -> Self {
        let elsewhere = || {
            let mut paths = ancestors().map(|process| seen_by(process, FOLDER));
            let root = open(&paths.find(|path| is_mounted(path))?)?;
            Some(Self {
                path: PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())),
                _root: Some(Arc::new(root)),
            })
        };
        let here = Self {
            path: PathBuf::from(FOLDER),
            _root: None,
        };
        match is_mounted(Path::new(FOLDER)) {
            true => here,
            false => elsewhere().unwrap_or(here),
        }
    }

    /// As [`find`](Self::find), but mounts it if nobody has.
    pub fn mounted() -> Result<Self> {
        let found = Self::find();
        if is_mounted(&found.path) {
            return Ok(found);
        }
        let outermost = ancestors().filter(|&process| is_apart(process)).last();
        let outcome = match outermost {
            Some(process) => mount_for(process),
            None => mount_here(),
        };
        outcome.with_context(|| format!("cannot mount bpffs at {FOLDER} (are you root?)"))?;
        Ok(Self::find())
    }

    /// False if somebody has unmounted it.
    pub fn is_mounted(&self) -> bool {
        is_mounted(&self.path)
    }

    /// Its path, as this process sees it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The parent, its parent, and so on.
fn ancestors() -> impl Iterator<Item = u32> {
    std::iter::successors(parent("self"), |process| parent(&process.to_string()))
}

fn parent(process: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok().filter(|&parent| parent != 0)
}

fn seen_by(process: u32, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/root{path}"))
}

/// True if a process is known to see other mounts than this one.
fn is_apart(process: u32) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let there = of(&process.to_string());
    there.is_some() && there != of("self")
}

/// It has to belong to root: anybody else could remove pins.
fn is_mounted(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
        && fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0)
}

fn open(folder: &Path) -> Option<OwnedFd> {
    let folder = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(folder);
    folder.ok().map(OwnedFd::from)
}

fn mount_here() -> Result<()> {
    // Without a mode, every user may make folders in it.
    let mode = Some("mode=0700");
    let flags = MsFlags::empty();
    Ok(mount(Some("bpf"), FOLDER, Some("bpf"), flags, mode)?)
}

/// Mounts it where a process sees it, from a thread that enters that process's namespace.
fn mount_for(process: u32) -> Result<()> {
    let there = move || {
        let namespace = File::open(format!("/proc/{process}/ns/mnt"))?;
        unshare(CloneFlags::CLONE_FS)?;
        setns(namespace, CloneFlags::CLONE_NEWNS)?;
        mount_here()
    };
    let ended = thread::spawn(there).join();
    ended.unwrap_or_else(|_| Err(anyhow!("the thread that was to do it panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_descends_from_its_parent_and_from_nobody_twice() {
        let mut ancestors: Vec<_> = ancestors().collect();
        assert_eq!(
            ancestors.first(),
            Some(&std::os::unix::process::parent_id())
        );
        let all = ancestors.len();
        ancestors.sort_unstable();
        ancestors.dedup();
        assert_eq!(ancestors.len(), all);
    }

    #[test]
    fn who_sees_the_same_mounts_is_not_apart() {
        assert!(!is_apart(std::process::id()));
        assert!(!is_apart(u32::MAX));
    }
}
