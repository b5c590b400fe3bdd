//! The daemon's side: many clients at once, none of which can hold up the others.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Reply, Request};

/// Clients that are served at the same time; more are told to come later.
pub const MAX_CLIENTS: usize = 64;
/// Longest request, in bytes, its end of line included.
pub const MAX_REQUEST: u64 = 16 << 20;

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
    /// Where the answer goes; dropped without one, the client is told that the daemon ends.
    pub reply: oneshot::Sender<Reply>,
}

/// Serves clients until nobody receives calls any more, then lets replies that were given
/// reach their clients. Each client has its own task; calls arrive one by one.
pub async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>) {
    serve_patiently(listener, calls, PATIENCE).await;
}

pub(super) async fn serve_patiently(
    listener: UnixListener,
    calls: mpsc::Sender<Call>,
    patience: Duration,
) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let calls = calls.clone();
                        clients.spawn(async move {
                            attend(stream, calls, patience).await;
                            drop(place);
                        });
                    }
                    Err(_) => turn_away(&stream),
                },
                Err(error) => {
                    tracing::warn!("cannot accept a client: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
            () = calls.closed() => break,
        }
    }
    let _ = timeout(FAREWELL, async {
        while clients.join_next().await.is_some() {}
    })
    .await;
}

/// Without waiting: a client that does not take the answer goes without.
fn turn_away(stream: &UnixStream) {
    let reply = Reply::failed(format!(
        "the daemon has {MAX_CLIENTS} clients already: try again later"
    ));
    let _ = stream.try_write(&line(&reply));
}

/// Answers one client until it goes, is too slow, or the daemon ends.
async fn attend(stream: UnixStream, calls: mpsc::Sender<Call>, patience: Duration) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let request = tokio::select! {
            request = timeout(patience, read_line(&mut from)) => request,
            () = calls.closed() => return,
        };
        let (reply, last) = match request {
            Ok(Line::Whole(text)) => (answer(&text, &calls).await, false),
            Ok(Line::TooLong) => (too_long(), true),
            Ok(Line::None) => return,
            Err(_) => (too_slow(patience), true),
        };
        if !send(&mut to, line(&reply), patience).await || last {
            return;
        }
    }
}

async fn answer(text: &[u8], calls: &mpsc::Sender<Call>) -> Reply {
    let request = match serde_json::from_slice(text) {
        Ok(request) => request,
        Err(error) => return Reply::bad_request(format!("not a request: {error}")),
    };
    let (reply, answer) = oneshot::channel();
    let ending = || Reply::failed("the daemon is ending");
    match calls.send(Call { request, reply }).await {
        Ok(()) => answer.await.unwrap_or_else(|_| ending()),
        Err(_) => ending(),
    }
}

fn too_long() -> Reply {
    Reply::bad_request(format!(
        "a request has at most {} MiB, and is one line",
        MAX_REQUEST >> 20
    ))
}

fn too_slow(patience: Duration) -> Reply {
    Reply::bad_request(format!("no request came for {} s", patience.as_secs_f32()))
}

enum Line {
    /// Without the end of line.
    Whole(Vec<u8>),
    TooLong,
    /// The client went.
    None,
}

async fn read_line(from: &mut BufReader<impl AsyncRead + Unpin>) -> Line {
    let mut text = Vec::new();
    let mut limited = from.take(MAX_REQUEST);
    match limited.read_until(b'\n', &mut text).await {
        Ok(0) | Err(_) => Line::None,
        Ok(_) if text.last() == Some(&b'\n') => {
            text.pop();
            Line::Whole(text)
        }
        Ok(_) if text.len() as u64 == MAX_REQUEST => Line::TooLong,
        Ok(_) => Line::Whole(text),
    }
}

/// False where the client does not take it.
async fn send(to: &mut OwnedWriteHalf, line: Vec<u8>, patience: Duration) -> bool {
    matches!(timeout(patience, to.write_all(&line)).await, Ok(Ok(())))
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
