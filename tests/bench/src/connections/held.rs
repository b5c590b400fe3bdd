//! Measures connections that are held: their memory, the daemon's work to look for expired ones,
//! and whether packets become slower.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::{Context, Result, ensure};
use lb_lab::lab::Lab;
use lb_tests::director::Director;
use nix::sys::signal::{Signal, kill};

use super::lab::{DIRECT, GROUP, PORTS, file};
use crate::{
    daemon::{self, Clients},
    processors,
    report::{Row, Target, Unit},
};

/// How long the daemon's CPU time is measured for each value.
const WINDOW: Duration = Duration::from_secs(2);
/// The number of connections whose packets are timed, and of packets for each value.
const TIMED: u32 = 1_000_000;

/// Holds this many connections, in a table made for as many.
pub fn measure(lab: &Lab, held: u32, samples: u32, done: &mut impl FnMut(Row)) -> Result<()> {
    let name = format!("{} M connections held", held / 1_000_000);
    let director = Director::start(lab, &file(held))?;
    let process = director.process()?;
    let mut feed = daemon::feed(&director, "eth0")?;
    let clients = Clients::new(first_client(), SocketAddrV4::new(DIRECT, PORTS[0]));
    clients.open(&mut feed, 0..held)?;
    let stats = director.stats()?;
    let used = stats.connections.used;
    ensure!(
        used == u64::from(held),
        "the table holds {used} of {held} connections"
    );
    memory(&director, &name, held, done)?;

    let mut sweeping = Vec::new();
    for _ in 0..samples {
        sweeping.push(processors::share_of_process(process, WINDOW)?);
    }
    let mut row = Row::new(
        GROUP,
        format!("daemon's CPU time, {name}"),
        Unit::PercentOfCpu,
        sweeping,
    );
    row.target = Some(Target::at_most(row.median(), 2.0, "< 2 % of a CPU"));
    done(row);

    let own = processors::memory_of(process)? as f64;
    let case = format!("daemon's own memory, {name}");
    done(Row::new(GROUP, case, Unit::Bytes, vec![own]));

    let (mut with, mut without) = (Vec::new(), Vec::new());
    let flows = 0..held.min(TIMED);
    for _ in 0..samples {
        with.push(clients.sample(&mut feed, flows.clone(), TIMED)?);
        let stopped = Stopped::stop(process)?;
        without.push(clients.sample(&mut feed, flows.clone(), TIMED)?);
        drop(stopped);
    }
    for (daemon, values) in [("daemon sweeps", with), ("daemon is stopped", without)] {
        let case = format!("known connection DR, {name}, {daemon}");
        done(Row::new(GROUP, case, Unit::NanosecondsPerPacket, values));
    }
    Ok(())
}

fn memory(director: &Director, name: &str, held: u32, done: &mut impl FnMut(Row)) -> Result<()> {
    /// As in `lb_common`: two words of key, one of state and time, one of route.
    const SLOT: u64 = 32;
    let stats = director.stats()?;
    let table = stats.connections.slots * SLOT;
    for (what, bytes) in [("table", table), ("all maps", stats.memory)] {
        let each = bytes as f64 / f64::from(held);
        let case = format!("{what} for each connection, {name}");
        let mut row = Row::new(GROUP, case, Unit::Bytes, vec![each]);
        if what == "table" {
            row.target = Some(Target::at_most(each, 100.0, "≤ 100 bytes"));
        }
        done(row);
    }
    Ok(())
}

fn first_client() -> SocketAddrV4 {
    SocketAddrV4::new([10, 128, 0, 0].into(), 1024)
}

/// A process that is stopped until this is dropped.
struct Stopped(nix::unistd::Pid);

impl Stopped {
    fn stop(process: nix::unistd::Pid) -> Result<Self> {
        kill(process, Signal::SIGSTOP).with_context(|| format!("stop process {process}"))?;
        Ok(Self(process))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The process may have ended.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
