use std::{
    fs,
    future::Future,
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{client::call_in, places::Places, server::serve_patiently, socket::bind_in, *};

fn instance() -> Instance {
    "test".parse().unwrap()
}

/// A client that is not ours.
struct Stranger(BufReader<UnixStream>);

impl Stranger {
    fn connect(directory: &Path) -> Self {
        let stream = UnixStream::connect(directory.join("test.sock")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &[u8]) {
        // The daemon may have had enough before the end.
        let _ = self.0.get_mut().write_all(text);
    }

    fn receive(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    fn error(&mut self) -> (ErrorKind, String) {
        match self.receive() {
            Some(Reply::Error { kind, message }) => (kind, message),
            other => panic!("no error but {other:?}"),
        }
    }
}

/// Runs clients, in a thread of their own, against a daemon that answers every call by `Done`.
fn with_daemon(patience: Duration, clients: impl FnOnce(&Path) + Send + 'static) {
    let directory = TempDir::new().unwrap();
    let socket = bind_in(directory.path(), &instance()).unwrap();
    in_runtime(async move {
        let (sender, mut calls) = mpsc::channel::<Call>(1);
        let serving = tokio::spawn(serve_patiently(
            socket.listener().unwrap(),
            mpsc::channel(1).1,
            sender,
            patience,
            Arc::default(),
        ));
        let path = directory.path().to_owned();
        let clients = spawn_blocking(move || clients(&path));
        tokio::pin!(clients);
        loop {
            tokio::select! {
                Some(call) = calls.recv() => drop(call.reply.send(Reply::Done)),
                done = &mut clients => break done.unwrap(),
            }
        }
        drop(calls);
        serving.await.unwrap();
    });
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_call_is_answered() {
    with_daemon(LONG, |directory| {
        let reply = call_in(directory, &instance(), &Request::Show).unwrap();
        assert_eq!(reply, Reply::Done);
    });
}

#[test]
fn a_client_may_ask_as_often_as_it_likes() {
    with_daemon(LONG, |directory| {
        let mut client = Stranger::connect(directory);
        client.send(b"\"stats\"\n\"show\"\n\"stats\"\n");
        for _ in 0..3 {
            assert_eq!(client.receive(), Some(Reply::Done));
        }
    });
}

#[test]
fn a_client_that_has_gone_is_told_from_one_that_only_has_nothing_more_to_say() {
    let directory = TempDir::new().unwrap();
    let socket = bind_in(directory.path(), &instance()).unwrap();
    in_runtime(async move {
        let (sender, mut calls) = mpsc::channel::<Call>(1);
        let listener = socket.listener().unwrap();
        let serving = tokio::spawn(serve(listener, mpsc::channel(1).1, sender));
        let ask = |request: &[u8]| {
            let mut client = Stranger::connect(directory.path());
            client.send(request);
            client
        };
        for (request, is_dropped) in [(&b"\"detach\"\n"[..], true), (b"\"stats\"\n", false)] {
            let client = ask(request);
            let call = calls.recv().await.unwrap();
            assert!(!call.client.has_gone());
            client.0.get_ref().shutdown(Shutdown::Write).unwrap();
            assert!(!call.client.has_gone());
            drop(client);
            assert_eq!(call.client.has_gone(), is_dropped);
        }
        // This one gets its answer.
        let mut client = ask(b"\"detach\"\n");
        client.0.get_ref().shutdown(Shutdown::Write).unwrap();
        let Call {
            client: at, reply, ..
        } = calls.recv().await.unwrap();
        assert!(!at.has_gone());
        reply.send(Reply::Done).unwrap();
        drop(at);
        let received = spawn_blocking(move || client.receive()).await.unwrap();
        assert_eq!(received, Some(Reply::Done));
        drop(calls);
        serving.await.unwrap();
    });
}

#[test]
fn garbage_is_answered_by_an_error_and_does_not_end_the_conversation() {
    with_daemon(LONG, |directory| {
        let mut client = Stranger::connect(directory);
        for garbage in [
            &b"hello\n"[..],
            b"\n",
            b"\xff\x00\n",
            b"{\"edit\":{\"x\":1}}\n",
        ] {
            client.send(garbage);
            let (kind, message) = client.error();
            assert_eq!(kind, ErrorKind::BadRequest);
            assert!(message.starts_with("not a request: "));
        }
        let unknown_key = br#"{"apply":{"text":"","name":"","dry_run":true,"x":1}}"#;
        client.send(unknown_key);
        client.send(b"\n");
        assert!(client.error().1.contains("unknown field `x`"));
        client.send(b"\"stats\"\n");
        assert_eq!(client.receive(), Some(Reply::Done));
    });
}

#[test]
fn a_line_without_an_end_is_refused_when_it_is_too_long() {
    with_daemon(LONG, |directory| {
        let mut client = Stranger::connect(directory);
        client.send(&vec![b' '; MAX_REQUEST + 1]);
        let (kind, message) = client.error();
        assert_eq!(kind, ErrorKind::BadRequest);
        assert!(message.contains("at most 64 MiB"));
    });
}

#[test]
fn our_own_client_reads_why_its_huge_request_was_refused() {
    with_daemon(LONG, |directory| {
        let request = Request::Apply {
            text: "#".repeat(2 * MAX_REQUEST),
            name: "huge.yaml".into(),
            dry_run: true,
        };
        let reply = call_in(directory, &instance(), &request).unwrap();
        assert!(matches!(
            reply,
            Reply::Error {
                kind: ErrorKind::BadRequest,
                ..
            }
        ));
    });
}

#[test]
fn clients_that_hang_hold_up_nobody() {
    with_daemon(LONG, |directory| {
        let mut hanging: Vec<_> = (1..MAX_CLIENTS)
            .map(|_| Stranger::connect(directory))
            .collect();
        for client in hanging.iter_mut().step_by(2) {
            client.send(b"\"sta");
        }
        let reply = call_in(directory, &instance(), &Request::Stats).unwrap();
        assert_eq!(reply, Reply::Done);
    });
}

#[test]
fn in_a_flood_of_clients_who_asks_is_answered_and_who_hangs_has_to_go() {
    with_daemon(LONG, |directory| {
        let mut flood: Vec<_> = (0..3 * MAX_CLIENTS)
            .map(|_| Stranger::connect(directory))
            .collect();
        for client in &mut flood {
            client.send(b"\"sta");
        }
        for _ in 0..3 {
            let reply = call_in(directory, &instance(), &Request::Stats).unwrap();
            assert_eq!(reply, Reply::Done);
        }
        let (kind, message) = flood[0].error();
        assert_eq!(kind, ErrorKind::Failed);
        assert!(message.contains("64 clients"), "{message}");
        // The last ones still have their places.
        let last = flood.last_mut().unwrap();
        last.send(b"ts\"\n");
        assert_eq!(last.receive(), Some(Reply::Done));
    });
}

#[test]
fn clients_that_stop_in_the_middle_of_huge_requests_keep_no_memory_from_others() {
    with_daemon(LONG, |directory| {
        const HUGE: usize = 15 << 20;
        let begin = vec![b' '; HUGE];
        let mut hanging: Vec<_> = (0..12)
            .map(|_| {
                let mut client = Stranger::connect(directory);
                client.send(&begin);
                client
            })
            .collect();
        let request = Request::Apply {
            name: "lb.yaml".to_owned(),
            text: "#".repeat(HUGE),
            dry_run: true,
        };
        let reply = call_in(directory, &instance(), &request).unwrap();
        assert_eq!(reply, Reply::Done);
        let (_, message) = hanging[0].error();
        assert!(message.contains("try again later"), "{message}");
    });
}

/// So much memory do answers take at most, with one that is being made.
#[test]
fn clients_that_do_not_take_huge_answers_keep_no_memory_from_others() {
    const HUGE: usize = 2 << 20;
    const MOST: usize = 2 * HUGE;
    let directory = TempDir::new().unwrap();
    let socket = bind_in(directory.path(), &instance()).unwrap();
    in_runtime(async move {
        let (sender, mut calls) = mpsc::channel::<Call>(MAX_CLIENTS);
        let places = Arc::new(Places::with_room_for(MOST));
        let serving = tokio::spawn(serve_patiently(
            socket.listener().unwrap(),
            mpsc::channel(1).1,
            sender,
            LONG,
            Arc::clone(&places),
        ));
        let path = directory.path().to_owned();
        let clients = spawn_blocking(move || {
            let mut lazy: Vec<_> = (0..5).map(|_| Stranger::connect(&path)).collect();
            for client in &mut lazy {
                client.send(b"\"stats\"\n");
            }
            // Whoever takes the answer gets it, as often as it likes.
            for _ in 0..2 {
                let reply = call_in(&path, &instance(), &Request::Stats).unwrap();
                assert!(matches!(reply, Reply::Lines(lines) if lines[0].len() == HUGE));
            }
            // A part of an answer is not followed by another one.
            let mut rest = Vec::new();
            lazy[0].0.read_to_end(&mut rest).unwrap();
            assert!((1..HUGE).contains(&rest.len()) && rest.ends_with(b"aaaa"));
        });
        tokio::pin!(clients);
        let mut most = 0;
        loop {
            most = most.max(places.answers());
            tokio::select! {
                Some(call) = calls.recv() => {
                    let lines = vec!["a".repeat(HUGE)];
                    drop(call.reply.send(Reply::Lines(lines)));
                }
                done = &mut clients => break done.unwrap(),
            }
        }
        assert!(most > HUGE && most <= MOST + HUGE + 100, "{most}");
        drop(calls);
        serving.await.unwrap();
    });
}

#[test]
fn a_client_that_is_too_slow_is_told_and_left() {
    with_daemon(Duration::from_millis(20), |directory| {
        let mut client = Stranger::connect(directory);
        client.send(b"\"sta");
        assert!(client.error().1.starts_with("no request came"));
        assert_eq!(client.receive(), None);
    });
}

#[test]
fn a_request_needs_no_end_of_line_when_the_client_stops_there() {
    with_daemon(LONG, |directory| {
        let mut client = Stranger::connect(directory);
        client.send(b"\"stats\"");
        client
            .0
            .get_ref()
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        assert_eq!(client.receive(), Some(Reply::Done));
    });
}

#[test]
fn the_last_reply_arrives_although_the_daemon_ends() {
    let directory = TempDir::new().unwrap();
    let socket = bind_in(directory.path(), &instance()).unwrap();
    in_runtime(async move {
        let (sender, mut calls) = mpsc::channel::<Call>(1);
        let serving = tokio::spawn(serve(
            socket.listener().unwrap(),
            mpsc::channel(1).1,
            sender,
        ));
        let path = directory.path().to_owned();
        let client = spawn_blocking(move || call_in(&path, &instance(), &Request::Detach));
        // If the client fails, no call comes.
        let call = timeout(LONG, calls.recv()).await.unwrap().unwrap();
        drop(calls);
        call.reply.send(Reply::Done).unwrap();
        serving.await.unwrap();
        assert_eq!(client.await.unwrap().unwrap(), Reply::Done);
        drop(socket);
        assert!(!directory.path().join("test.sock").exists());
    });
}

#[test]
fn there_is_one_daemon_for_an_instance() {
    let directory = TempDir::new().unwrap();
    let first = bind_in(directory.path(), &instance()).unwrap();
    let second = bind_in(directory.path(), &instance()).unwrap_err();
    assert_eq!(
        second.to_string(),
        format!(
            "a daemon for instance `test` is already running (pid {})",
            process::id()
        )
    );
    assert!(first.path().exists());
    drop(first);
    assert!(bind_in(directory.path(), &instance()).is_ok());
}

#[test]
fn a_daemon_whose_lock_was_removed_is_still_noticed() {
    let directory = TempDir::new().unwrap();
    let _first = bind_in(directory.path(), &instance()).unwrap();
    fs::remove_file(directory.path().join("test.lock")).unwrap();
    let second = bind_in(directory.path(), &instance()).unwrap_err();
    assert!(second.to_string().contains("already running (pid unknown)"));
}

#[test]
fn a_socket_that_nobody_answers_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("test.sock");
    drop(UnixListener::bind(&path).unwrap());
    let refused = call_in(directory.path(), &instance(), &Request::Stats).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "no daemon for instance `test` is running ({}: connection refused); \
             start one with: lb-ctl run --config FILE",
            path.display()
        )
    );
    let socket = bind_in(directory.path(), &instance()).unwrap();
    UnixStream::connect(socket.path()).unwrap();
    let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_file_in_the_sockets_place_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("test.sock");
    fs::write(&path, "precious").unwrap();
    let refused = bind_in(directory.path(), &instance()).unwrap_err();
    assert!(refused.to_string().contains("is not a socket: remove it"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn without_a_socket_there_is_no_daemon() {
    let directory = TempDir::new().unwrap();
    let refused = call_in(directory.path(), &instance(), &Request::Stats).unwrap_err();
    assert!(refused.to_string().contains("test.sock: no such socket"));
}

#[test]
fn an_answer_that_makes_no_sense_is_said_to() {
    let directory = TempDir::new().unwrap();
    let listener = UnixListener::bind(directory.path().join("test.sock")).unwrap();
    let daemon = std::thread::spawn(move || {
        for answer in ["hello\n", ""] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read(&mut [0; 64]);
        }
    });
    let said = || {
        call_in(directory.path(), &instance(), &Request::Stats)
            .unwrap_err()
            .to_string()
    };
    assert!(said().contains("cannot be understood"));
    assert!(said().contains("it closed the connection"));
    daemon.join().unwrap();
}
