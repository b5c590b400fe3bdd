//! Measures how long it takes until packets follow a live edit.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lb_lab::wait::wait_until;
use lb_tests::director::Director;

use super::{
    files::{LIVE, SERVERS},
    stream::Stream,
};

/// From the start of a command to the first packet that follows it.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Of `server add`.
    pub add: Vec<Duration>,
    /// Of `server drain`.
    pub drain: Vec<Duration>,
    /// Of `server del`.
    pub delete: Vec<Duration>,
    /// From the start of any of these commands to its end.
    pub command: Vec<Duration>,
}

/// Edits the service of the stream, this many times.
pub fn edit(director: &Director, stream: &Stream, times: u32) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    for _ in 0..times {
        let editor = Editor { director, stream };
        let (add, command) = editor.first(&["add"])?;
        latencies.add.push(add);
        latencies.command.push(command);
        let (drain, command) = editor.last(&["drain"])?;
        latencies.drain.push(drain);
        latencies.command.push(command);
        editor.first(&["set", "--weight", "1"])?;
        let (delete, command) = editor.last(&["del"])?;
        latencies.delete.push(delete);
        latencies.command.push(command);
    }
    Ok(latencies)
}

/// The one of the service's two servers that is edited.
const EDITED: usize = 1;
const OTHER: usize = 0;

struct Editor<'a> {
    director: &'a Director,
    stream: &'a Stream,
}

impl Editor<'_> {
    /// Runs a command that gives the server new connections. Returns the time until the first of
    /// them, and until the command's end.
    fn first(&self, edit: &[&str]) -> Result<(Duration, Duration)> {
        let (started, before, command) = self.command(edit)?;
        let first = wait_until("the server gets packets", || {
            let received = self.stream.received(EDITED, before);
            received.first().copied().context("none yet")
        })?;
        Ok((self.since(started, first)?, command))
    }

    /// Runs a command that takes new connections from the server. Returns the time until the first
    /// datagram that goes to the other server instead, and until the command's end.
    fn last(&self, edit: &[&str]) -> Result<(Duration, Duration)> {
        let (started, before, command) = self.command(edit)?;
        self.stream.settle()?;
        let last = self.stream.received(EDITED, before).last().copied();
        // rr: the servers take turns.
        let next = self
            .stream
            .received(OTHER, last.map_or(before, |last| last + 2));
        let next = next.first().context("nothing arrived after the edit")?;
        Ok((self.since(started, *next)?, command))
    }

    fn command(&self, edit: &[&str]) -> Result<(Instant, u32, Duration)> {
        let (service, server) = (format!("udp/{LIVE}"), edited().to_string());
        let (verb, options) = edit.split_first().context("no verb")?;
        let arguments = [&["server", verb, &service, &server], options].concat();
        let before = self.stream.sent();
        let started = Instant::now();
        let (took, _) = self.director.timed(&arguments)?;
        Ok((started, before, took))
    }

    fn since(&self, started: Instant, datagram: u32) -> Result<Duration> {
        let sent = self.stream.sent_at(datagram)?;
        Ok(sent.saturating_duration_since(started))
    }
}

fn edited() -> Ipv4Addr {
    SERVERS[EDITED]
}
