//! Where the daemon listens, and that there is one daemon for an instance.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::Group,
};

use crate::instance::Instance;

/// Unless `LB_RUN_DIR` says otherwise.
const RUN_DIRECTORY: &str = "/run/lb";
/// How long a daemon that does not listen any more may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Members of this group may talk to the daemon, if there is such a group.
const GROUP: &str = "lb";

/// Takes the instance's lock and makes its socket.
pub fn bind(instance: &Instance) -> Result<Socket, BindError> {
    bind_in(&run_directory(), instance)
}

/// Takes the instance's lock alone: for who must be sure that no daemon runs meanwhile.
pub fn lock(instance: &Instance) -> Result<Lock, BindError> {
    lock_in(&run_directory(), instance)
}

/// A socket that clients can connect to; it is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is.
    file: FileId,
    lock: Lock,
    instance: Instance,
}

/// A file, whatever it is called.
type FileId = (u64, u64);

impl Socket {
    /// For [`serve`](super::serve); needs a tokio runtime.
    pub fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener)
    }

    /// Makes the socket and the lock again if somebody has removed or replaced their files; says
    /// which, if any. A socket that was made again has another [`listener`](Self::listener).
    pub fn repair(&mut self) -> Result<Repaired, BindError> {
        let mut repaired = Repaired::default();
        if id_of(&self.lock.path).ok() != Some(self.lock.id) {
            let directory = self.path.parent().unwrap_or(Path::new("/"));
            make_directory(directory)?;
            // A daemon that was started meanwhile has it: then there are two.
            let lock = try_lock(&self.lock.path, &self.instance)??;
            repaired.lock = Some(self.lock.path.clone());
            self.lock = lock;
        }
        if id_of(&self.path).ok() != Some(self.file) {
            make_way(&self.path, &self.instance)?;
            (self.listener, self.file) = listen(&self.path, &self.instance)?;
            repaired.socket = Some(self.path.clone());
        }
        Ok(repaired)
    }

    /// Removes the socket and the lock: the instance is gone, and leaves nothing.
    pub fn remove(mut self) {
        // Before the lock goes, so that it is nobody else's.
        let _ = fs::remove_file(&self.path);
        self.lock.remove_file();
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Before the lock goes, so that it is nobody else's.
        if !self.lock.removed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What was made again.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The lock.
    pub lock: Option<PathBuf>,
    /// The socket.
    pub socket: Option<PathBuf>,
}

/// The right to be the daemon of an instance. The kernel takes it back when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
    path: PathBuf,
    /// Which file it is.
    id: FileId,
    removed: bool,
}

impl Lock {
    /// Gives the right back and leaves no file, nor the socket of a daemon that was killed.
    pub fn remove(mut self) {
        let socket = self.path.with_extension("sock");
        let is_socket = fs::symlink_metadata(&socket).is_ok_and(|it| it.file_type().is_socket());
        // A daemon whose lock file was removed still listens.
        if is_socket && UnixStream::connect(&socket).is_err() {
            let _ = fs::remove_file(&socket);
        }
        self.remove_file();
    }

    /// While the lock is held: whoever opened the file before finds that it has no name any more,
    /// and opens the next one.
    fn remove_file(&mut self) {
        self.removed = fs::remove_file(&self.path).is_ok();
    }
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// There is a daemon already.
    #[error("a daemon for instance `{instance}` is already running ({})", whose(*.pid))]
    Running {
        /// Whose it is.
        instance: Instance,
        /// Its process, if it says.
        pid: Option<u32>,
    },
    /// The system does not let us.
    #[error("cannot {action} {}: {error}{}", .path.display(), hint(.error))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

fn whose(pid: Option<u32>) -> String {
    pid.map_or_else(|| "pid unknown".into(), |pid| format!("pid {pid}"))
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (are you root?)",
        _ => "",
    }
}

/// Where sockets and locks are.
pub fn run_directory() -> PathBuf {
    env::var_os("LB_RUN_DIR").map_or_else(|| RUN_DIRECTORY.into(), PathBuf::from)
}

pub(super) fn socket_path(directory: &Path, instance: &Instance) -> PathBuf {
    directory.join(format!("{instance}.sock"))
}

fn make_directory(directory: &Path) -> Result<(), BindError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(failed("make the directory", directory))
}

/// The file that stands at a path.
fn id_of(path: &Path) -> io::Result<FileId> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

fn lock_in(directory: &Path, instance: &Instance) -> Result<Lock, BindError> {
    make_directory(directory)?;
    let path = directory.join(format!("{instance}.lock"));
    let socket = socket_path(directory, instance);
    let begun = Instant::now();
    loop {
        match try_lock(&path, instance)? {
            Ok(lock) => return Ok(lock),
            // A daemon that does not listen any more is about to end.
            Err(_) if begun.elapsed() < FAREWELL && UnixStream::connect(&socket).is_err() => {
                thread::sleep(LOOK);
            }
            Err(running) => return Err(running),
        }
    }
}

/// The lock, or who has it; an error where neither can be found out.
fn try_lock(path: &Path, instance: &Instance) -> Result<Result<Lock, BindError>, BindError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Who can open it can lock it, and so keep the daemon from starting.
        .mode(0o600)
        .open(path)
        .map_err(failed("open the lock", path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            let ours = file.metadata().map_err(failed("look at the lock", path))?;
            let id = (ours.dev(), ours.ino());
            if id_of(path).ok() != Some(id) {
                // Its owner has removed it meanwhile.
                return try_lock(path, instance);
            }
            write_pid(&mut file).map_err(failed("write the lock", path))?;
            Ok(Ok(Lock {
                _file: file,
                path: path.to_owned(),
                id,
                removed: false,
            }))
        }
        Err((mut file, Errno::EWOULDBLOCK)) => Ok(Err(BindError::Running {
            instance: instance.clone(),
            pid: read_pid(&mut file),
        })),
        Err((_, errno)) => Err(failed("lock", path)(errno.into())),
    }
}

pub(super) fn bind_in(directory: &Path, instance: &Instance) -> Result<Socket, BindError> {
    let lock = lock_in(directory, instance)?;
    let path = socket_path(directory, instance);
    make_way(&path, instance)?;
    let (listener, file) = listen(&path, instance)?;
    Ok(Socket {
        listener,
        path,
        file,
        lock,
        instance: instance.clone(),
    })
}

/// Makes a socket at this path.
fn listen(path: &Path, instance: &Instance) -> Result<(UnixListener, FileId), BindError> {
    // Made under another name, and moved when it has the right owner and mode.
    let unfinished = path.with_file_name(format!("{instance}.sock.new"));
    let _ = fs::remove_file(&unfinished);
    let listener = UnixListener::bind(&unfinished).map_err(failed("listen at", path))?;
    let finished = give_to_group(&unfinished)
        .and_then(|()| fs::set_permissions(&unfinished, Permissions::from_mode(0o660)))
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| id_of(path));
    match finished {
        Ok(file) => Ok((listener, file)),
        Err(error) => {
            let _ = fs::remove_file(&unfinished);
            Err(failed("set the owner of", path)(error))
        }
    }
}

/// The process that has an instance's lock, if any has.
#[must_use]
pub fn running(instance: &Instance) -> Option<u32> {
    running_in(&run_directory(), instance)
}

pub(super) fn running_in(directory: &Path, instance: &Instance) -> Option<u32> {
    let path = directory.join(format!("{instance}.lock"));
    let file = OpenOptions::new().read(true).open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => None,
        Err((mut file, _)) => read_pid(&mut file),
    }
}

/// Makes sure that what stands at the socket's path, if anything, may be replaced.
fn make_way(path: &Path, instance: &Instance) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", path)(error)),
        Ok(there) if !there.file_type().is_socket() => Err(failed("replace", path)(
            io::Error::other("it is there and is not a socket: remove it"),
        )),
        // The lock is ours, yet somebody answers: a daemon whose lock file was removed.
        Ok(_) if UnixStream::connect(path).is_ok() => Err(BindError::Running {
            instance: instance.clone(),
            pid: None,
        }),
        Ok(_) => Ok(()),
    }
}

fn give_to_group(path: &Path) -> io::Result<()> {
    // A machine without the group, or without any, has a socket for root alone.
    match Group::from_name(GROUP) {
        Ok(Some(group)) => chown(path, None, Some(group.gid.as_raw())),
        Ok(None) | Err(_) => Ok(()),
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |error| BindError::Io {
        action,
        path,
        error,
    }
}
