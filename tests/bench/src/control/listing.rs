//! Lists a table full of connections: how long that takes, and how long others wait meanwhile.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lb_tests::director::Director;
use nix::unistd::Pid;

use super::rows::milliseconds;
use crate::report::{Row, Target};

/// How often somebody else asks.
const PAUSE: Duration = Duration::from_millis(2);

/// The daemon's memory may grow by this much, in bytes: a page and its text, not the table.
const MOST_MEMORY: u64 = 64 << 20;

/// Lists all connections some times. There are at least so many.
pub fn measure(
    director: &Director,
    connections: u32,
    samples: u32,
    done: &mut impl FnMut(Row),
) -> Result<()> {
    let (mut listings, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        let (listing, answer) = list(director, connections)?;
        listings.push(listing);
        answers.push(answer);
    }
    let case = format!("ipvsadm -Lnc, {connections} connections");
    done(milliseconds(case, &listings));
    let case = format!("longest wait for stats while {connections} connections are listed");
    let mut row = milliseconds(case, &answers);
    row.target = Some(Target::at_most(row.median(), 20.0, "≤ 20 ms"));
    done(row);
    Ok(())
}

/// How long a listing took, and the longest that somebody else waited for an answer meanwhile.
fn list(director: &Director, connections: u32) -> Result<(Duration, Duration)> {
    let daemon = director.process()?;
    let before = memory(daemon)?;
    let started = Instant::now();
    let mut listing = director
        .shell("ipvsadm -Lnc | wc -l")?
        .stdout(Stdio::piped())
        .spawn()
        .context("run ipvsadm")?;
    let (mut longest, mut most) = (Duration::ZERO, before);
    while listing.try_wait()?.is_none() {
        longest = longest.max(answer(director)?);
        most = most.max(memory(daemon)?);
        // The pace of the questions, not a wait for a condition.
        sleep(PAUSE);
    }
    let took = started.elapsed();
    let output = listing.wait_with_output()?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let lines: u32 = lines.trim().parse().context("count the lines")?;
    ensure!(
        lines >= connections,
        "of {connections} connections, {lines} lines were listed"
    );
    ensure!(
        most - before <= MOST_MEMORY,
        "the daemon's memory grew from {before} to {most} bytes"
    );
    Ok((took, longest))
}

/// How long the daemon takes to answer a request.
fn answer(director: &Director) -> Result<Duration> {
    let socket = director.path(&format!("{}.sock", director.instance()));
    let started = Instant::now();
    let mut stream =
        UnixStream::connect(&socket).with_context(|| format!("connect to {}", socket.display()))?;
    stream.write_all(b"\"stats\"\n")?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    ensure!(
        reply.starts_with("{\"stats\""),
        "the daemon answered {reply}"
    );
    Ok(started.elapsed())
}

/// Memory of a process that is not swapped out, in bytes.
fn memory(process: Pid) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.with_context(|| format!("{path} does not say VmRSS"))?;
    Ok(kibibytes.trim().parse::<u64>()? << 10)
}
