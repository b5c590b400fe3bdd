//! The daemon's side: many clients at once, none of which can hold up the others.

use std::{
    fmt, io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    net::{
        UnixListener,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

pub use crate::places::{MAX_CLIENTS, MAX_REQUEST};
use crate::{
    Reply, Request,
    places::{MUCH, Place, Places},
};

/// The error that a daemon answers which is about to end.
pub const ENDING: &str = "the daemon is ending";

/// How long a client may take to send a request, and to take in a reply.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the daemon's end waits for replies that are on their way.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long to wait when no client can be accepted (no file descriptors, most likely).
const PAUSE: Duration = Duration::from_millis(100);

/// A request on its way to who can answer it.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// By whom.
    pub by: Peer,
    /// Where the answer goes; dropped without one, the client is told that the daemon ends.
    pub reply: oneshot::Sender<Reply>,
    /// Whether the client is there still.
    pub client: Client,
}

/// The client's end of the socket.
///
/// A daemon that was stopped, or had much to do, finds requests of clients that have given up. They
/// were told that nothing is known of the outcome, and may have done something else since: what
/// they asked for is not to be done any more.
#[derive(Debug, Default)]
pub struct Client(Option<OwnedFd>);

impl Client {
    /// Nobody looks after a client that only reads.
    fn of(stream: &OwnedWriteHalf, request: &Request) -> Self {
        let watched = request.changes_what_is_live();
        let stream: &tokio::net::UnixStream = stream.as_ref();
        // Where there are no more file descriptors, it is taken for there.
        Self(
            watched
                .then(|| stream.as_fd().try_clone_to_owned().ok())
                .flatten(),
        )
    }

    /// True if it has closed the socket, and so will not see the answer; not, if it only has
    /// nothing more to say.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        let Some(socket) = &self.0 else {
            return false;
        };
        // The kernel tells of a hangup unasked.
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        let gone = |polled: &PollFd| {
            let happened = polled.revents().unwrap_or(PollFlags::empty());
            happened.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
        };
        poll(&mut polled, PollTimeout::ZERO).is_ok() && polled.iter().any(gone)
    }
}

/// The process at the other end of the socket, as the kernel tells it (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its user; nothing if the kernel does not tell.
    pub uid: Option<u32>,
    /// Its number.
    pub pid: Option<i32>,
}

impl Peer {
    fn of(stream: &tokio::net::UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self {
            uid: credentials.map(|peer| peer.uid()),
            pid: credentials.and_then(|peer| peer.pid()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => write!(f, "uid {uid}, pid {pid}"),
            (Some(uid), None) => write!(f, "uid {uid}"),
            (None, _) => f.write_str("somebody"),
        }
    }
}

/// Serves clients until nobody receives calls any more, then lets replies that were given
/// reach their clients. Each client has its own task; calls arrive one by one.
///
/// A listener that comes in `listeners` takes the place of the one before.
pub async fn serve(
    listener: UnixListener,
    listeners: mpsc::Receiver<UnixListener>,
    calls: mpsc::Sender<Call>,
) {
    let places = Arc::default();
    serve_patiently(listener, listeners, calls, PATIENCE, places).await;
}

pub(super) async fn serve_patiently(
    mut listener: UnixListener,
    mut listeners: mpsc::Receiver<UnixListener>,
    calls: mpsc::Sender<Call>,
    patience: Duration,
    places: Arc<Places>,
) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (place, go) = places.enter().await;
                    let calls = calls.clone();
                    clients.spawn(async move {
                        let by = Peer::of(&stream);
                        let (from, mut to) = stream.into_split();
                        tokio::select! {
                            () = attend(from, &mut to, by, &calls, &place, patience) => {}
                            _ = go => if !place.is_answering() { turn_away(&to) },
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a client: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
            Some(another) = listeners.recv(), if !listeners.is_closed() => listener = another,
            () = calls.closed() => break,
        }
    }
    let _ = timeout(FAREWELL, async {
        while clients.join_next().await.is_some() {}
    })
    .await;
}

/// Without waiting: a client that does not take the answer goes without.
fn turn_away(to: &OwnedWriteHalf) {
    let reply = Reply::failed(format!(
        "the daemon has {MAX_CLIENTS} clients or much to read already, and has waited for this one \
         longest: try again later"
    ));
    let _ = to.try_write(&line(&reply));
}

/// Answers one client until it goes, is too slow, or the daemon ends.
async fn attend(
    from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    by: Peer,
    calls: &mpsc::Sender<Call>,
    place: &Place,
    patience: Duration,
) {
    let mut from = BufReader::new(from);
    loop {
        place.wait();
        let request = tokio::select! {
            request = timeout(patience, read_line(&mut from, place)) => request,
            () = calls.closed() => return,
        };
        place.work();
        let (answer, last) = match request {
            Ok(Line::Whole(text)) => (answer(&text, by, to, calls, place).await, false),
            Ok(Line::TooLong) => (line(&too_long()), true),
            Ok(Line::TooMuch) => (line(&too_much()), true),
            Ok(Line::None) => return,
            Err(_) => (line(&too_slow(patience)), true),
        };
        place.release();
        if !send(to, &answer, place, patience).await || last {
            return;
        }
    }
}

/// The answer to a request, as it is sent.
async fn answer(
    text: &[u8],
    by: Peer,
    to: &OwnedWriteHalf,
    calls: &mpsc::Sender<Call>,
    place: &Place,
) -> Vec<u8> {
    let request: Request = match serde_json::from_slice(text) {
        Ok(request) => request,
        Err(error) => return line(&Reply::bad_request(format!("not a request: {error}"))),
    };
    // What is answered to the others is hardly longer than what they ask, or short.
    let turn = match request.reads_all() {
        true => Some(place.turn().await),
        false => None,
    };
    let (reply, answer) = oneshot::channel();
    let ending = || Reply::failed(ENDING);
    let call = Call {
        client: Client::of(to, &request),
        request,
        by,
        reply,
    };
    let reply = match calls.send(call).await {
        Ok(()) => answer.await.unwrap_or_else(|_| ending()),
        Err(_) => ending(),
    };
    let line = line(&reply);
    place.offer(line.len());
    drop(turn);
    line
}

fn too_long() -> Reply {
    Reply::bad_request(format!(
        "a request has at most {} MiB, and is one line",
        MAX_REQUEST >> 20
    ))
}

fn too_much() -> Reply {
    Reply::failed("the daemon is busy with other clients: try again later")
}

fn too_slow(patience: Duration) -> Reply {
    Reply::bad_request(format!("no request came for {} s", patience.as_secs_f32()))
}

enum Line {
    /// Without the end of line.
    Whole(Vec<u8>),
    TooLong,
    /// There is no memory for it.
    TooMuch,
    /// The client went.
    None,
}

async fn read_line(from: &mut BufReader<impl AsyncRead + Unpin>, place: &Place) -> Line {
    let mut text = Vec::new();
    loop {
        let Ok(chunk) = from.fill_buf().await else {
            return Line::None;
        };
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let part = end.map_or(chunk, |end| &chunk[..end]);
        let gone = chunk.is_empty();
        let length = part.len() + usize::from(end.is_some());
        if text.len() + length > MAX_REQUEST {
            return Line::TooLong;
        }
        if !place.hold(length) {
            return Line::TooMuch;
        }
        text.extend_from_slice(part);
        from.consume(length);
        match (end, gone) {
            (Some(_), _) => return Line::Whole(text),
            (None, true) if text.is_empty() => return Line::None,
            (None, true) => return Line::Whole(text),
            (None, false) => {}
        }
    }
}

/// False if the client does not take it.
async fn send(to: &mut OwnedWriteHalf, answer: &[u8], place: &Place, patience: Duration) -> bool {
    place.offer(answer.len());
    let sent = timeout(patience, async {
        // A client that takes a few bytes now and then is waited for all the same.
        for part in answer.chunks(MUCH) {
            to.write_all(part).await?;
            place.wait();
        }
        io::Result::Ok(())
    });
    let sent = sent.await;
    place.offer(0);
    matches!(sent, Ok(Ok(())))
}

fn line(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).unwrap_or_else(|error| {
        // No reply of ours is of a kind that JSON does not have.
        tracing::error!("a reply cannot be written: {error}");
        Vec::new()
    });
    line.push(b'\n');
    line
}
