//! The command's side: one request, one reply.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Reply, Request,
    instance::Instance,
    socket::{run_directory, socket_path},
};

/// How long the daemon may take: a large configuration and a slow neighbour both fit.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the daemon of this instance. A [`Reply::Error`] is a reply like any other.
pub fn call(instance: &Instance, request: &Request) -> Result<Reply, CallError> {
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
    /// The daemon went silent.
    #[error("the daemon of instance `{instance}` does not answer ({}: {why})", .path.display())]
    NoAnswer {
        /// Whose daemon.
        instance: Instance,
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
    let answer = UnixStream::connect(&path).map_err(|error| (error, true));
    let answer = answer.and_then(|stream| ask(stream, request).map_err(|error| (error, false)));
    let instance = instance.clone();
    match answer {
        Ok(line) => serde_json::from_slice(&line).map_err(|error| CallError::Nonsense {
            instance,
            path,
            why: error.to_string(),
        }),
        Err((error, connecting)) => Err(match error.kind() {
            io::ErrorKind::NotFound if connecting => CallError::NoDaemon {
                instance,
                path,
                why: "no such socket",
            },
            io::ErrorKind::ConnectionRefused if connecting => CallError::NoDaemon {
                instance,
                path,
                why: "connection refused",
            },
            io::ErrorKind::PermissionDenied if connecting => CallError::Denied { instance, path },
            io::ErrorKind::WouldBlock => CallError::NoAnswer {
                instance,
                path,
                why: format!("no answer for {} s", PATIENCE.as_secs()),
            },
            _ => CallError::NoAnswer {
                instance,
                path,
                why: error.to_string(),
            },
        }),
    }
}

fn ask(mut stream: UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    // A daemon that does not want the request says so before it has read all of it: what
    // it says counts more than that it did not listen.
    let sent = stream.write_all(&line);
    let mut answer = Vec::new();
    let received = BufReader::new(stream).read_until(b'\n', &mut answer);
    if answer.last() == Some(&b'\n') {
        return Ok(answer);
    }
    sent?;
    received?;
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "it closed the connection",
    ))
}
