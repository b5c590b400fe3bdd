//! The daemon's socket, used by clients that do harm, on purpose or not.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

use anyhow::ensure;
use lb_lab::{
    client::Client,
    lab::Lab,
    meanwhile::while_repeating,
    process::{Process, run},
    wait::{PATIENCE, wait_until},
};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

/// The number of clients that the daemon serves at the same time.
const PLACES: usize = 64;

fn start() -> (Lab, Director, Client) {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    (lab, director, client)
}

fn socket(director: &Director) -> PathBuf {
    director.path(&format!("{}.sock", director.instance()))
}

fn connect(director: &Director) -> UnixStream {
    let stream = UnixStream::connect(socket(director)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Fails unless other clients can still read and change.
#[track_caller]
fn assert_serves(director: &Director, client: &Client) {
    let service = format!("tcp/{SERVICE}");
    let edit = |weight| {
        let server = ["server", "set", &service, "192.168.100.23", "--weight"];
        director
            .command(&[&server[..], &[weight]].concat())
            .unwrap();
    };
    edit("5");
    edit("1");
    director.stats().unwrap();
    client.servers(2).unwrap();
}

#[test]
fn clients_that_hang_in_the_middle_of_a_request_hold_up_nobody() {
    let (_lab, director, client) = start();
    let hanging: Vec<_> = (0..2 * PLACES)
        .map(|_| {
            let mut stream = connect(&director);
            // The daemon may refuse it before it has sent everything.
            let _ = stream.write_all(b"{\"apply\":{\"source\":{\"na");
            stream
        })
        .collect();
    assert_serves(&director, &client);
    drop(hanging);
}

#[test]
fn clients_that_ask_and_never_listen_hold_up_nobody() {
    let (_lab, director, client) = start();
    let deaf: Vec<_> = (0..PLACES)
        .map(|_| {
            let mut stream = connect(&director);
            stream.set_nonblocking(true).unwrap();
            // Until the daemon stops reading, because the client does not take its answers.
            while stream.write_all(&b"\"stats\"\n".repeat(100)).is_ok() {}
            stream
        })
        .collect();
    assert_serves(&director, &client);
    drop(deaf);
}

#[test]
fn garbage_is_refused_and_all_goes_on() {
    let (_lab, director, client) = start();
    let nested = "[".repeat(200_000);
    let garbage = [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\xff\xfe\x00\x01\n",
        b"{\"edit\":{\"add_server\":{}}}\n",
        b"{\"connections\":{\"limit\":-1}}\n",
        nested.as_bytes(),
    ];
    for text in garbage {
        let mut stream = connect(&director);
        stream.write_all(text).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("bad_request"), "{answer:?}");
    }
    // A line without an end, longer than any request.
    let mut stream = connect(&director);
    let chunk = [b'x'; 1 << 20];
    let sent = (0..128)
        .take_while(|_| stream.write_all(&chunk).is_ok())
        .count();
    assert!(sent < 128);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.contains("64 MiB"), "{answer:?}");
    assert_serves(&director, &client);
}

#[test]
fn a_flood_of_connections_and_requests_holds_up_nobody() {
    let (_lab, director, client) = start();
    let mut flood = || {
        if let Ok(mut stream) = UnixStream::connect(socket(&director)) {
            let _ = stream.write_all(b"\"show\"\n\"sta");
        }
    };
    let mut asking = BufReader::new(connect(&director));
    let mut ask = || {
        let sent = asking.get_mut().write_all(b"\"stats\"\n");
        let answered = sent.and_then(|()| asking.read_line(&mut String::new()));
        // The daemon may have given its place to another client.
        if !answered.is_ok_and(|length| length > 0) {
            asking = BufReader::new(connect(&director));
        }
    };
    while_repeating(&mut [&mut flood, &mut ask], || {
        for _ in 0..5 {
            assert_serves(&director, &client);
        }
    });
}

#[test]
fn the_socket_is_for_root_and_the_group_lb_where_there_is_one() {
    let (lab, mut director, _client) = start();
    let mode = |director: &Director| {
        let there = fs::metadata(socket(director)).unwrap();
        (there.permissions().mode() & 0o777, there.uid(), there.gid())
    };
    let groups = fs::read_to_string("/etc/group").unwrap();
    if !groups.lines().any(|line| line.starts_with("lb:")) {
        assert_eq!(mode(&director), (0o660, 0, 0));
    }
    director.end(Signal::SIGTERM).unwrap();

    // The daemon sees a machine that has this group.
    const GROUP: u32 = 4242;
    let others = groups.lines().filter(|line| !line.starts_with("lb:"));
    let mut with_group: String = others.map(|line| format!("{line}\n")).collect();
    with_group.push_str(&format!("lb:x:{GROUP}:\n"));
    let with_group = director.write("group", &with_group).unwrap();
    let mut command = lab.host("director").unwrap().command("unshare");
    command
        .env("LB_RUN_DIR", director.path("."))
        .args(["--mount", "sh", "-c"])
        .arg("mount --bind \"$1\" /etc/group && shift && exec \"$@\"")
        .arg("sh")
        .arg(with_group)
        .arg(director.binary())
        .args(["--instance", director.instance(), "run", "--mode", "native"])
        .arg("--config")
        .arg(director.path("lb.yaml"));
    let mut daemon = Process::start("lb-ctl with a group", &mut command).unwrap();
    daemon.wait_for_output("ready: ").unwrap();
    assert_eq!(mode(&director), (0o660, 0, GROUP));
    daemon.end(Signal::SIGTERM).unwrap();
}

#[test]
fn a_hangup_applies_the_file_again_and_a_broken_file_changes_nothing() {
    let (_lab, director, client) = start();
    let hang_up = || nix::sys::signal::kill(director.process().unwrap(), Signal::SIGHUP).unwrap();
    let logged = |words: &str| {
        wait_until("it is logged", || {
            let log = director.log()?;
            ensure!(log.contains(words), "{words:?} is not in:\n{log}");
            Ok(())
        })
        .unwrap();
    };
    let drained = CONFIGURATION.replace("weight: 2", "weight: 0");
    director.write("lb.yaml", &drained).unwrap();
    hang_up();
    logged("applied again: 2 changes");
    assert_eq!(client.servers(3).unwrap(), ["web23"; 3]);

    let broken = CONFIGURATION.replace("servers:", "severs:");
    director.write("lb.yaml", &broken).unwrap();
    hang_up();
    logged("was not applied; nothing changed: ");
    logged("lb.yaml:6:");
    assert_eq!(client.servers(3).unwrap(), ["web23"; 3]);

    fs::remove_file(director.path("lb.yaml")).unwrap();
    hang_up();
    logged("No such file");
    assert_eq!(client.servers(3).unwrap(), ["web23"; 3]);
}

#[test]
fn what_is_saved_cleared_and_applied_is_listed_as_before() {
    let (lab, director, client) = start();
    let web = format!("tcp/{SERVICE}");
    for edit in [
        &[
            "service",
            "add",
            "tcp/192.168.100.11:443",
            "--scheduler",
            "lc",
            "--name",
            "tls",
        ][..],
        &[
            "server",
            "add",
            "tls",
            "192.168.100.23",
            "--forward",
            "tun",
            "--weight",
            "9",
        ],
        &[
            "server",
            "add",
            "tls",
            "192.168.100.47:8443",
            "--forward",
            "nat",
        ],
        &[
            "service",
            "add",
            "udp/192.168.100.11:5353",
            "--scheduler",
            "rr",
        ],
        &["server", "drain", &web, "192.168.100.47"],
    ] {
        director.command(edit).unwrap();
    }
    let listing = || {
        let services = director.command(&["service", "list"]).unwrap();
        (services, director.command(&["save"]).unwrap())
    };
    let before = listing();
    let saved = director.path("saved.yaml").display().to_string();
    director.command(&["save", &saved]).unwrap();
    let empty = director.write("empty.yaml", "interfaces: [eth0]\nservices: []\n");
    let empty = empty.unwrap().display().to_string();
    director.command(&["apply", &empty]).unwrap();
    assert!(client.connect_within(Duration::from_millis(20)).is_err());

    director.command(&["apply", &saved]).unwrap();
    assert_eq!(listing(), before);
    assert_eq!(client.servers(2).unwrap(), ["web23"; 2]);
    // The saved file must be valid: `check` does not complain about it.
    let mut check = lab.host("director").unwrap().command(director.binary());
    let checked = run(check.args(["check", &saved])).unwrap();
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn a_socket_and_a_lock_that_were_removed_are_made_again() {
    let (_lab, director, client) = start();
    let lock = socket(&director).with_extension("lock");
    let pid = director.process().unwrap().to_string();
    // One by one, and both.
    for gone in [
        vec![socket(&director)],
        vec![lock.clone()],
        vec![socket(&director), lock.clone()],
    ] {
        for path in &gone {
            fs::remove_file(path).unwrap();
        }
        // A verb waits for the socket, as long as the lock tells that there is a daemon.
        wait_until("they are made again", || {
            for path in &gone {
                ensure!(path.exists(), "{}", path.display());
            }
            Ok(())
        })
        .unwrap();
        assert_serves(&director, &client);
        assert_eq!(fs::read_to_string(&lock).unwrap().trim(), pid);
    }
    director.log_with("was gone: made again").unwrap();
    fs::remove_file(socket(&director)).unwrap();
    director.command(&["stats"]).unwrap();

    // No second daemon, also while there is neither; nor does it keep the first one from them.
    fs::remove_file(socket(&director)).unwrap();
    fs::remove_file(&lock).unwrap();
    let file = director.path("lb.yaml").display().to_string();
    let second = director.try_command(&["run", "--config", &file]).unwrap();
    assert_eq!(second.code, Some(1), "{second:?}");
    let running = format!("already running (pid {pid})");
    assert!(second.stderr.contains(&running), "{second:?}");
    assert_serves(&director, &client);

    // Somebody who detaches finds the daemon, too.
    fs::remove_file(socket(&director)).unwrap();
    fs::remove_file(&lock).unwrap();
    let detached = director.try_command(&["detach"]).unwrap();
    assert_eq!(detached.code, Some(1), "{detached:?}");
    assert!(detached.stderr.contains(&running), "{detached:?}");
    assert_serves(&director, &client);
}

#[test]
fn a_run_directory_that_was_removed_is_made_again_with_what_was_in_it() {
    let (_lab, mut director, client) = start();
    let file = director.path("lb.yaml");
    let folder = file.parent().unwrap();
    let away = folder.with_extension("away");
    fs::rename(folder, &away).unwrap();
    let record = director.path(&format!("{}.record", director.instance()));
    let lock = socket(&director).with_extension("lock");
    wait_until("everything is made again", || {
        for path in [&record, &lock, &socket(&director)] {
            ensure!(path.exists(), "{}", path.display());
        }
        Ok(())
    })
    .unwrap();
    fs::copy(away.join("lb.yaml"), &file).unwrap();
    fs::remove_dir_all(away).unwrap();
    assert_serves(&director, &client);

    // What is edited from now on survives a crash.
    let service = format!("tcp/{SERVICE}");
    let edit = ["server", "set", &service, "192.168.100.23", "--weight", "7"];
    director.command(&edit).unwrap();
    director.end(Signal::SIGKILL).unwrap();
    director.run("lb.yaml").unwrap();
    let shown = director.command(&["save"]).unwrap();
    assert!(shown.contains("weight: 7"), "{shown}");
}

/// Connects if that can be done at once.
fn connect_at_once(path: &std::path::Path) -> nix::Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(
        std::os::fd::AsRawFd::as_raw_fd(&stream),
        &UnixAddr::new(path)?,
    )?;
    Ok(stream)
}

#[test]
fn a_daemon_that_hangs_is_named() {
    let (_lab, director, client) = start();
    let pid = director.process().unwrap();
    nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    let path = director.path("lb.yaml").display().to_string();
    for arguments in [
        &["stats"][..],
        &["conns"],
        &["apply", &path],
        &["ipvsadm", "-Ln"],
        &["detach"],
    ] {
        let output = director.try_command(arguments).unwrap();
        assert_ne!(output.code, Some(0), "{output:?}");
        let named = format!("pid {pid}");
        assert!(output.stderr.contains(&named), "{arguments:?}: {output:?}");
        assert!(
            output.stderr.contains("stopped"),
            "{arguments:?}: {output:?}"
        );
    }
    client.servers(2).unwrap();
    // Others that gave up may fill the queue of those who wait to be let in.
    let waiting: Vec<_> = (0..)
        .map_while(|_| {
            let stream = connect_at_once(&socket(&director));
            stream.ok()
        })
        .collect();
    assert!(waiting.len() > 1, "{} wait", waiting.len());
    let output = director.try_command(&["stats"]).unwrap();
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains(&format!("pid {pid}")), "{output:?}");
    drop(waiting);
    nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
    wait_until("it answers again", || director.stats().map(drop)).unwrap();
}

#[test]
fn what_was_reported_as_failed_is_not_done_later() {
    let (_lab, director, client) = start();
    let service = format!("tcp/{SERVICE}");
    let before = director.command(&["save"]).unwrap();
    let pid = director.process().unwrap();
    nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    for arguments in [
        &["server", "set", &service, "192.168.100.23", "--weight", "9"][..],
        &["ipvsadm", "-D", "-t", SERVICE],
        &["detach"],
    ] {
        let output = director.try_command(arguments).unwrap();
        assert_ne!(output.code, Some(0), "{output:?}");
    }
    // One that has nothing more to say, but waits.
    let mut stream = connect(&director);
    stream.write_all(b"\"timeouts\"\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("timeouts"), "{answer}");
    wait_until("the log says so", || {
        let log = director.log()?;
        // `detach` has not even asked: it reads first.
        ensure!(log.matches("not done").count() == 2, "{log}");
        Ok(())
    })
    .unwrap();
    assert_eq!(director.command(&["save"]).unwrap(), before);
    assert_serves(&director, &client);
}
