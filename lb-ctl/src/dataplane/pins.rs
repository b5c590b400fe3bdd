//! Where an instance's maps and links are pinned, so that they outlive the daemon.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::attach;

const BPFFS: &str = "/sys/fs/bpf";

/// The pins of one instance: `/sys/fs/bpf/lb/NAME`.
#[derive(Clone, Debug)]
pub struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// Of this instance.
    pub fn of(instance: &str) -> Self {
        Self {
            folder: Path::new(BPFFS).join("lb").join(instance),
        }
    }

    /// Makes the folder, and mounts bpffs where nobody has yet.
    pub fn prepare(&self) -> Result<()> {
        let mounted = statfs(BPFFS).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC);
        if !mounted {
            mount(
                Some("bpf"),
                BPFFS,
                Some("bpf"),
                MsFlags::empty(),
                None::<&str>,
            )
            .with_context(|| format!("cannot mount bpffs at {BPFFS} (are you root?)"))?;
        }
        fs::create_dir_all(&self.folder).with_context(|| {
            format!(
                "cannot make the folder {} for pins (are you root?)",
                self.folder.display()
            )
        })
    }

    /// Where a map is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the link to an interface is pinned, by the interface's index: one that goes away
    /// and comes back is another interface.
    pub fn link(&self, interface: u32) -> PathBuf {
        self.folder.join(format!("{LINK}{interface}"))
    }

    /// All pinned links, with the index of their interface.
    pub fn links(&self) -> Result<Vec<(u32, PathBuf)>> {
        Ok(self
            .all()?
            .into_iter()
            .filter_map(|path| {
                let index = path.file_name()?.to_str()?.strip_prefix(LINK)?;
                Some((index.parse().ok()?, path))
            })
            .collect())
    }

    /// Detaches all links, then removes every pin and the folder; gives what was there.
    pub fn remove(&self) -> Result<Vec<PathBuf>> {
        let links = self.links()?.into_iter().map(|(_, path)| path);
        let mut removed: Vec<_> = links.collect();
        for link in &removed {
            attach::end(link)?;
        }
        for path in self.all()? {
            fs::remove_file(&path)
                .with_context(|| format!("cannot remove the pin {}", path.display()))?;
            removed.push(path);
        }
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.folder.display()))
            }
            _ => Ok(removed),
        }
    }

    fn all(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot list {}", self.folder.display()))?,
        };
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
            .with_context(|| format!("cannot list {}", self.folder.display()))
    }
}

const LINK: &str = "link-";
