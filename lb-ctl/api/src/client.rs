//! The command's side: one request, one reply.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, getsockopt, setsockopt,
        socket,
        sockopt::{PeerCredentials, SendTimeout},
    },
    time::{TimeVal, TimeValLike as _},
};

use crate::{
    Reply, Request,
    instance::Instance,
    socket::{run_directory, running_in, socket_path},
};

/// How long the daemon may take: a large configuration and a slow neighbour both fit.
const PATIENCE: Duration = Duration::from_secs(60);
/// A daemon that says nothing for so long, and does nothing either, hangs.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a daemon whose socket was removed may take to make it again.
const REPAIR: Duration = Duration::from_millis(2500);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Answers a request without a daemon, from what is in the kernel; `None` if it cannot.
pub type Observer = fn(&Instance, &Request) -> Option<Reply>;

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Has this answer requests where no daemon runs. The first call counts.
pub fn observe_by(observer: Observer) {
    let _ = OBSERVER.set(observer);
}

/// Asks the daemon of this instance. A [`Reply::Error`] is a reply like any other. Where no daemon
/// runs, whoever was named by [`observe_by`] may answer.
pub fn call(instance: &Instance, request: &Request) -> Result<Reply, CallError> {
    let outcome = call_daemon(instance, request);
    if let Err(CallError::NoDaemon { .. }) = outcome
        && let Some(observer) = OBSERVER.get()
        && let Some(reply) = observer(instance, request)
    {
        return Ok(reply);
    }
    outcome
}

/// Asks the daemon of this instance, and nobody else.
pub fn call_daemon(instance: &Instance, request: &Request) -> Result<Reply, CallError> {
    call_in(&run_directory(), instance, request)
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error(
        "no daemon for instance `{instance}` is running ({}: {why}); start one with: lb-ctl run --config FILE",
        .path.display()
    )]
    NoDaemon {
        /// Whose daemon.
        instance: Instance,
        /// Its socket.
        path: PathBuf,
        /// As the system says.
        why: &'static str,
    },
    /// Somebody listens, but not to us.
    #[error(
        "may not talk to the daemon of instance `{instance}` ({}: permission denied): be root, or a member of the group `lb`",
        .path.display()
    )]
    Denied {
        /// Whose daemon.
        instance: Instance,
        /// Its socket.
        path: PathBuf,
    },
    /// A daemon runs, but its socket is gone.
    #[error(
        "the daemon of instance `{instance}` (pid {pid}) runs, but its socket {} is gone, and it \
         has not made it again: restart it (forwarding continues meanwhile)",
        .path.display()
    )]
    NoSocket {
        /// Whose daemon.
        instance: Instance,
        /// Where its socket was.
        path: PathBuf,
        /// Its process.
        pid: u32,
    },
    /// The daemon went silent.
    #[error(
        "the daemon of instance `{instance}`{} does not answer ({}: {why})",
        .pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
        .path.display()
    )]
    NoAnswer {
        /// Whose daemon.
        instance: Instance,
        /// Its process, if that is known.
        pid: Option<i32>,
        /// Its socket.
        path: PathBuf,
        /// As the system says.
        why: String,
    },
    /// The daemon is of another version, or no daemon of ours.
    #[error("the answer of instance `{instance}` cannot be understood ({}: {why})", .path.display())]
    Nonsense {
        /// Whose daemon.
        instance: Instance,
        /// Its socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

pub(super) fn call_in(
    directory: &Path,
    instance: &Instance,
    request: &Request,
) -> Result<Reply, CallError> {
    let path = socket_path(directory, instance);
    let stream = connect(directory, instance, &path)?;
    let pid = getsockopt(&stream, PeerCredentials).ok();
    let pid = pid.map(|peer| peer.pid());
    let instance = instance.clone();
    match ask(stream, request, pid) {
        Ok(line) => serde_json::from_slice(&line).map_err(|error| CallError::Nonsense {
            instance,
            path,
            why: error.to_string(),
        }),
        Err(why) => Err(CallError::NoAnswer {
            instance,
            pid,
            path,
            why,
        }),
    }
}

/// Connects to the daemon. One that runs without its socket makes it again: that is waited for.
fn connect(directory: &Path, instance: &Instance, path: &Path) -> Result<UnixStream, CallError> {
    let begun = Instant::now();
    loop {
        let error = match dial(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let (instance, path) = (instance.clone(), path.to_owned());
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such socket",
            io::ErrorKind::ConnectionRefused => "connection refused",
            io::ErrorKind::PermissionDenied => return Err(CallError::Denied { instance, path }),
            io::ErrorKind::WouldBlock => {
                let pid = running_in(directory, &instance).and_then(|pid| pid.try_into().ok());
                return Err(CallError::NoAnswer {
                    instance,
                    pid,
                    path,
                    why: format!(
                        "it has taken no connection for {} s; forwarding continues",
                        SILENCE.as_secs()
                    ),
                });
            }
            _ => {
                return Err(CallError::NoAnswer {
                    instance,
                    pid: None,
                    path,
                    why: error.to_string(),
                });
            }
        };
        match running_in(directory, &instance) {
            None => {
                return Err(CallError::NoDaemon {
                    instance,
                    path,
                    why,
                });
            }
            Some(pid) if begun.elapsed() >= REPAIR => {
                return Err(CallError::NoSocket {
                    instance,
                    path,
                    pid,
                });
            }
            Some(_) => thread::sleep(LOOK),
        }
    }
}

/// Connects, in a few seconds at most: where a daemon hangs, others may be waiting already.
fn dial(path: &Path) -> io::Result<UnixStream> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(
        &socket,
        SendTimeout,
        &TimeVal::milliseconds(SILENCE.as_millis() as i64),
    )?;
    connect_to(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Asks, and waits for the answer as long as the daemon (this process, if it is known) works.
fn ask(mut stream: UnixStream, request: &Request, pid: Option<i32>) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| error.to_string();
    stream.set_read_timeout(Some(SILENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(SILENCE)).map_err(failed)?;
    let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    line.push(b'\n');
    let mut waiting = Waiting {
        begun: Instant::now(),
        pid,
        worked: pid.and_then(work_of),
    };
    // A daemon that does not want the request says so before it has read all of it: what
    // it says counts more than that it did not listen.
    let mut sent = Ok(());
    let mut rest = &line[..];
    while !rest.is_empty() && sent.is_ok() {
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_late(&error) => sent = waiting.goes_on(),
            Err(error) => sent = Err(error.to_string()),
        }
    }
    let mut answer = Vec::new();
    let mut from = BufReader::new(stream);
    loop {
        match from.read_until(b'\n', &mut answer) {
            Ok(_) if answer.last() == Some(&b'\n') => return Ok(answer),
            Ok(_) => break,
            Err(error) if is_late(&error) && sent.is_ok() => waiting.goes_on()?,
            Err(error) => {
                sent?;
                return Err(error.to_string());
            }
        }
    }
    sent?;
    Err("it closed the connection".to_owned())
}

fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Waiting for a daemon.
struct Waiting {
    begun: Instant,
    pid: Option<i32>,
    /// The processor time that it had used when it was looked at last, in clock ticks.
    worked: Option<Work>,
}

/// What a process does.
struct Work {
    state: char,
    ticks: u64,
}

impl Waiting {
    /// An error if there is no sense in waiting any longer.
    fn goes_on(&mut self) -> Result<(), String> {
        let now = self.pid.and_then(work_of);
        let hangs = match (&self.worked, &now) {
            (Some(before), Some(now)) => before.ticks == now.ticks,
            // Without /proc, it is given the benefit of the doubt.
            _ => false,
        };
        let waited = self.begun.elapsed();
        let state = now.as_ref().map(|now| now.state);
        self.worked = now;
        if hangs {
            let state = match state {
                Some('T' | 't') => ", because it is stopped: continue it with `kill -CONT`",
                _ => ": it hangs; restart it",
            };
            return Err(format!(
                "it has done nothing for {} s{state}; forwarding continues",
                SILENCE.as_secs()
            ));
        }
        if waited >= PATIENCE {
            return Err(format!("nothing came for {} s", waited.as_secs()));
        }
        Ok(())
    }
}

/// What a process does now, as `/proc/PID/stat` says (proc_pid_stat(5)).
fn work_of(pid: i32) -> Option<Work> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in front, in brackets, may have spaces.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let [user, system] = [11, 12].map(|field| fields.get(field)?.parse::<u64>().ok());
    Some(Work {
        state: fields.first()?.chars().next()?,
        ticks: user? + system?,
    })
}
