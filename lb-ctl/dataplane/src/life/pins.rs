//! Where an instance's maps and links are pinned. Pins let them outlive the daemon.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{
    crash::{self, Step},
    kernel::{bpffs::Bpffs, syscall},
};

/// How long a daemon that ends, and has given its lock back already, may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The right to use what is pinned. The kernel takes it back when the process ends.
pub struct Claim {
    _folder: Flock<File>,
    id: (u64, u64),
}

/// The pins of one instance: `/sys/fs/bpf/lb/NAME`.
#[derive(Clone, Debug)]
pub struct Pins {
    /// Keeps the folder's path valid.
    bpffs: Bpffs,
    folder: PathBuf,
}

impl Pins {
    /// The pins of this instance, in this file system.
    pub fn of(instance: &str, bpffs: Bpffs) -> Self {
        Self {
            folder: bpffs.path().join("lb").join(instance),
            bpffs,
        }
    }

    /// Mounts bpffs again if somebody has unmounted it. The packet path that is pinned there lives
    /// as long as a daemon does; without one, it would be gone. True if that was so: then pins have
    /// another folder.
    pub fn mount_again(&mut self) -> Result<bool> {
        if self.bpffs.is_mounted() {
            return Ok(false);
        }
        let instance = self.folder.file_name().unwrap_or_default().to_owned();
        self.bpffs = Bpffs::mounted()?;
        self.folder = self.bpffs.path().join("lb").join(instance);
        tracing::warn!(
            "bpffs was unmounted: mounted again at {}",
            self.bpffs.path().display()
        );
        Ok(true)
    }

    /// Makes the folder, for root alone.
    pub fn prepare(&self) -> Result<()> {
        self.check_owners()?;
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.with_context(|| {
            format!(
                "cannot make the folder {} for pins (are you root?)",
                self.folder.display()
            )
        })?;
        // Another user may have been faster.
        self.check_owners()
    }

    /// Takes the folder for this process: no other daemon can use what is pinned in it. The lock
    /// beside the socket is a file, which somebody may remove; nobody but root can come here.
    pub fn claim(&self) -> Result<Claim> {
        let begun = Instant::now();
        loop {
            let folder = File::open(&self.folder)
                .with_context(|| format!("cannot open the folder {}", self.folder.display()))?;
            let found = folder.metadata()?;
            match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(folder) => {
                    return Ok(Claim {
                        _folder: folder,
                        id: (found.dev(), found.ino()),
                    });
                }
                // A daemon that is about to end.
                Err((_, Errno::EWOULDBLOCK)) if begun.elapsed() < FAREWELL => thread::sleep(LOOK),
                Err((_, Errno::EWOULDBLOCK)) => bail!(
                    "another daemon of this instance uses what is pinned at {}: its lock file was \
                     removed, but it runs (`pgrep -a lb-ctl`); end it, or use another --instance",
                    self.folder.display()
                ),
                Err((_, errno)) => {
                    return Err(errno).with_context(|| {
                        format!("cannot lock the folder {}", self.folder.display())
                    });
                }
            }
        }
    }

    /// The same, if there is a folder.
    pub fn claim_if_there(&self) -> Result<Option<Claim>> {
        self.folder.exists().then(|| self.claim()).transpose()
    }

    /// True if another process has claimed the folder.
    pub fn are_claimed(&self) -> bool {
        let Ok(folder) = File::open(&self.folder) else {
            return false;
        };
        let lock = Flock::lock(folder, FlockArg::LockSharedNonblock);
        matches!(lock, Err((_, Errno::EWOULDBLOCK)))
    }

    /// True if the folder is the one that was claimed.
    pub fn is_claimed_by(&self, claim: &Claim) -> bool {
        let there = fs::metadata(&self.folder);
        there.is_ok_and(|there| (there.dev(), there.ino()) == claim.id)
    }

    /// Refuses a folder that somebody else than root can change: they could take pins away, or
    /// put others in their place.
    pub fn check_owners(&self) -> Result<()> {
        let folders: Vec<_> = self.folder.ancestors().take(3).collect();
        let [instance, ours, bpffs] = folders[..] else {
            return Ok(());
        };
        for folder in [ours, instance] {
            let Some(there) = look_at(folder)? else {
                return Ok(());
            };
            if !there.is_dir() || there.uid() != 0 {
                bail!(
                    "{} belongs to user {}, not to root, who could replace the pins of the packet \
                     path: look at what is in it, and remove it",
                    folder.display(),
                    there.uid()
                );
            }
            if there.mode() & OTHERS_WRITE != 0 {
                let only_root = Permissions::from_mode(there.mode() & 0o7777 & !OTHERS_WRITE);
                fs::set_permissions(folder, only_root)
                    .with_context(|| format!("cannot restrict {} to root", folder.display()))?;
                tracing::warn!(
                    "others than root could write to {}: not any more",
                    folder.display()
                );
            }
        }
        // In a folder with the sticky bit, only root can rename or remove what is root's.
        let Some(there) = look_at(bpffs)? else {
            return Ok(());
        };
        let sticky = there.mode() & 0o1000 != 0;
        if there.mode() & OTHERS_WRITE != 0 && !sticky {
            bail!(
                "others than root can rename folders in {} (mode {:o}), and so take the packet \
                 path's pins away: restrict it with `chmod 700 {}`",
                bpffs.display(),
                there.mode() & 0o7777,
                bpffs.display()
            );
        }
        Ok(())
    }

    /// Where a map is pinned.
    pub fn map(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the link to an interface is pinned, by the interface's index: an interface that is
    /// deleted and made again has another one.
    pub fn link(&self, interface: u32) -> PathBuf {
        self.folder.join(format!("{LINK}{interface}"))
    }

    /// Where the maps of a room are pinned. Rooms have numbers: see [`room`](super::room).
    pub fn room(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{ROOM}{number}"))
    }

    /// Where they are pinned until everything is copied into the room.
    pub fn unfinished_room(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{UNFINISHED}{number}"))
    }

    /// The numbers of all finished rooms, in ascending order.
    pub fn rooms(&self) -> Result<Vec<u32>> {
        let mut rooms: Vec<_> = self.numbered(ROOM)?.into_iter().map(|(n, _)| n).collect();
        rooms.sort_unstable();
        Ok(rooms)
    }

    /// Makes a folder for the maps of a room.
    pub fn make_room(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {} for pins", folder.display()))
    }

    /// Finishes a room: from now on, a daemon that starts adopts it.
    pub fn finish_room(&self, number: u32) -> Result<()> {
        let (from, to) = (self.unfinished_room(number), self.room(number));
        fs::rename(&from, &to)
            .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
    }

    /// Removes the pins of a room. That of its counters comes first: while it is there, a daemon
    /// that starts adds them to the next room's.
    pub fn remove_room(&self, folder: &Path) -> Result<()> {
        let counters = folder.join("counters");
        if counters.exists() {
            remove_pin(&counters)?;
        }
        remove_folder(folder).map(drop)
    }

    /// Removes rooms that were never finished.
    pub fn remove_unfinished_rooms(&self) -> Result<()> {
        for (_, folder) in self.numbered(UNFINISHED)? {
            remove_folder(&folder)?;
        }
        Ok(())
    }

    /// All pinned links, with the index of their interface.
    pub fn links(&self) -> Result<Vec<(u32, PathBuf)>> {
        self.numbered(LINK)
    }

    /// The other instance that has attached this program to an interface, if one has.
    pub fn instance_with(&self, interface: u32, program: u32) -> Option<String> {
        let others = list(self.folder.parent()?).ok()?.into_iter();
        let others = others.filter(|folder| *folder != self.folder);
        { others }.find_map(|folder| {
            let pin = folder.join(format!("{LINK}{interface}"));
            let link = syscall::open(&pin).ok()?;
            let link = syscall::look_at(link.as_fd()).ok()?;
            let is_it = link.interface == interface && link.program == program;
            is_it.then(|| folder.file_name()?.to_str().map(str::to_owned))?
        })
    }

    /// Removes every pin and the folder; gives what was there. The map `settings` goes first:
    /// without it, a daemon that starts knows that the rest is of no use.
    pub fn remove_maps(&self) -> Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        let settings = self.map("settings");
        if settings.exists() {
            remove_pin(&settings)?;
            removed.push(settings);
        }
        removed.extend(remove_folder(&self.folder)?);
        Ok(removed)
    }

    /// The pins that are named by this prefix and a number.
    fn numbered(&self, prefix: &str) -> Result<Vec<(u32, PathBuf)>> {
        Ok(list(&self.folder)?
            .into_iter()
            .filter_map(|path| {
                let number = path.file_name()?.to_str()?.strip_prefix(prefix)?;
                Some((number.parse().ok()?, path))
            })
            .collect())
    }
}

/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;

/// What is at a path, if anything; a symbolic link is not followed.
fn look_at(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        there => there
            .map(Some)
            .with_context(|| format!("cannot look at {}", path.display())),
    }
}

const LINK: &str = "link-";
const ROOM: &str = "room-";
const UNFINISHED: &str = "unfinished-";

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()
        .with_context(|| format!("cannot list {}", folder.display()))
}

fn remove_pin(pin: &Path) -> Result<()> {
    fs::remove_file(pin).with_context(|| format!("cannot remove the pin {}", pin.display()))?;
    crash::after(Step::MapUnpinned);
    Ok(())
}

/// Removes a folder with all pins in it; gives them.
fn remove_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for path in list(folder)? {
        if path.is_dir() {
            removed.extend(remove_folder(&path)?);
        } else {
            remove_pin(&path)?;
            removed.push(path);
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(removed),
    }
}
