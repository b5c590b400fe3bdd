//! Measures the control plane: how long it takes to apply files, to edit, to start, to list. Always
//! with the real daemon in native mode, in a lab.
//!
//! The next hops of the many servers are permanent entries of the director's neighbour table, so
//! nothing waits for ARP.

mod edits;
mod files;
mod listing;
mod rows;
mod rules;
mod stream;

use std::{net::SocketAddrV4, time::Duration};

use anyhow::{Context, Result, ensure};
use lb_lab::{
    lab::Lab,
    topology::{Host, Topology},
};
use lb_tests::director::Director;
use nix::sys::signal::Signal;

use self::{
    edits::{Latencies, edit},
    files::{FIRST_SERVER, Fleet, HELD, LIVE, SERVERS_EACH},
    rows::{GROUP, milliseconds},
    stream::Stream,
};
use super::{
    daemon::{self, Clients},
    processors,
    report::{Row, Target, Unit},
};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Values for each figure.
    pub samples: u32,
    /// Number of live edits of each kind.
    pub edits: u32,
    /// The sizes of the files, in services.
    pub services: &'static [u32],
    /// Number of connections that a daemon adopts.
    pub connections: u32,
}

/// Measures everything.
pub fn measure(effort: Effort, mut done: impl FnMut(Row)) -> Result<()> {
    let lab = Lab::realise(&topology())?;
    starts(&lab, effort, &mut done)?;
    for &services in effort.services {
        // First as many machines as a large site has; then so many that no two services share one.
        for addresses in [1000, services * SERVERS_EACH] {
            let fleet = Fleet {
                services,
                addresses,
                first: FIRST_SERVER,
            };
            many_services(&lab, fleet, effort, &mut done)?;
        }
    }
    Ok(())
}

fn topology() -> Topology {
    let server = |name, address| {
        Host::new(name)
            .on("lan", address)
            .holds_silently("198.19.255.1")
    };
    Topology::new(
        "control",
        [
            Host::new("client")
                .on("lan", "10.0.0.2/8")
                .route("198.18.0.0/15", "10.0.0.17"),
            Host::new("director").on("lan", "10.0.0.17/8"),
            server("one", "10.0.0.11/8"),
            server("two", "10.0.0.12/8"),
        ],
    )
}

fn stream(lab: &Lab) -> Result<Stream> {
    let servers = [lab.host("one")?.as_ref(), lab.host("two")?.as_ref()];
    let stream = Stream::start(lab.host("client")?, LIVE, &servers)?;
    stream.settle()?;
    Ok(stream)
}

/// Starts the daemon: once without anything to adopt, once where another one ran.
fn starts(lab: &Lab, effort: Effort, done: &mut impl FnMut(Row)) -> Result<()> {
    let mut director = Director::start(lab, &Fleet::NONE.file())?;
    let mut values = Vec::new();
    for _ in 0..effort.samples {
        values.push(start_anew(&mut director, "lb.yaml")?);
    }
    done(milliseconds("start, nothing there", &values));

    done(idle(&director, "1 service", effort)?);

    let live = stream(lab)?;
    let latencies = edit(&director, &live, effort.edits)?;
    report_edits("1 service", latencies, done);

    let mut feed = daemon::feed(&director, "eth0")?;
    let clients = Clients::new(first_client(), HELD);
    clients.open(&mut feed, 0..effort.connections)?;
    let held = director.table()?.used;
    ensure!(
        held >= u64::from(effort.connections),
        "the table holds {held} of {} connections",
        effort.connections
    );
    let first = live.sent();
    let mut values = Vec::new();
    for _ in 0..effort.samples {
        director.end(Signal::SIGKILL)?;
        live.settle()?;
        values.push(director.run_timed("lb.yaml")?);
    }
    live.lost_none_since(first)
        .context("while the daemon was killed and started again")?;
    let held = director.table()?.used;
    ensure!(
        held >= u64::from(effort.connections),
        "of {} connections, {held} were adopted",
        effort.connections
    );
    let case = format!(
        "start after kill -9, adopting {} connections, forwarding all the time",
        effort.connections
    );
    done(milliseconds(case, &values));
    listing::measure(&director, effort.connections, effort.samples, done)
}

fn first_client() -> SocketAddrV4 {
    SocketAddrV4::new([10, 128, 0, 0].into(), 1024)
}

/// A file with many services: applies it, edits beside it, lists it.
fn many_services(
    lab: &Lab,
    fleet: Fleet,
    effort: Effort,
    done: &mut impl FnMut(Row),
) -> Result<()> {
    let machine = lab.host("director")?;
    let neighbour = |verb: &'static str| {
        move |address| {
            format!("neigh {verb} {address} lladdr 02:00:00:00:10:01 dev eth0 nud permanent")
        }
    };
    machine.ip(fleet.servers().map(neighbour("replace")))?;
    let name = format!(
        "{} × {SERVERS_EACH} on {} machines",
        fleet.services, fleet.addresses
    );
    let mut director = Director::start(lab, &fleet.file())?;
    director.write("few.yaml", &Fleet::NONE.file())?;
    director.write("many.yaml", &fleet.file())?;
    director.write("changed.yaml", &fleet.file_with_one_change())?;
    let mut times = Times::default();
    for _ in 0..effort.samples {
        let start = start_anew(&mut director, "many.yaml")?;
        times.start.push(start);
        // The maps are small at first: the first file with many services makes larger ones.
        start_anew(&mut director, "few.yaml")?;
        times.rules.measure(&director, &fleet)?;
        apply(&director, "few.yaml", None)?;
        let steps = (SERVERS_EACH + 1) * fleet.services;
        let all = apply(&director, "many.yaml", Some(steps as usize))?;
        times.all.push(all);
        let nothing = apply(&director, "many.yaml", None)?;
        times.nothing.push(nothing);
        let one = apply(&director, "changed.yaml", Some(1))?;
        times.one.push(one);
        times.stats.push(director.timed(&["stats", "--json"])?.0);
        times.save.push(director.timed(&["save"])?.0);
    }
    done(milliseconds(format!("start, {name}"), &times.start));
    let mut row = milliseconds(format!("apply, {name}"), &times.all);
    if fleet.services == 10_000 {
        let seconds = row.median() / 1e3;
        row.target = Some(Target::at_most(seconds, 2.0, "≤ 2 s"));
    }
    done(row);
    done(milliseconds(
        format!("apply, no change, {name}"),
        &times.nothing,
    ));
    done(milliseconds(
        format!("apply, one weight changed, {name}"),
        &times.one,
    ));
    done(milliseconds(format!("stats --json, {name}"), &times.stats));
    done(milliseconds(format!("save, {name}"), &times.save));
    times.rules.report(&name, &fleet, done);
    done(idle(&director, &name, effort)?);
    let live = stream(lab)?;
    let latencies = edit(&director, &live, effort.edits)?;
    report_edits(&name, latencies, done);
    machine.ip(fleet
        .servers()
        .map(|address| format!("neigh del {address} dev eth0")))
}

/// The daemon's CPU time while nothing happens.
fn idle(director: &Director, name: &str, effort: Effort) -> Result<Row> {
    /// Longer than the longest period of the daemon's full passes.
    const WINDOW: Duration = Duration::from_secs(6);
    const MOST: u32 = 3;
    let process = director.process()?;
    let values = (0..effort.samples.min(MOST))
        .map(|_| processors::share_of_process(process, WINDOW))
        .collect::<Result<Vec<_>>>()?;
    let case = format!("daemon's CPU time, idle, {name}");
    let mut row = Row::new(GROUP, case, Unit::PercentOfCpu, values);
    row.target = Some(Target::at_most(row.median(), 2.0, "< 2 % of a CPU"));
    Ok(row)
}

#[derive(Default)]
struct Times {
    start: Vec<Duration>,
    all: Vec<Duration>,
    nothing: Vec<Duration>,
    one: Vec<Duration>,
    stats: Vec<Duration>,
    save: Vec<Duration>,
    rules: rules::Times,
}

/// Starts the director without anything of an earlier one.
fn start_anew(director: &mut Director, file: &str) -> Result<Duration> {
    director.end(Signal::SIGTERM)?;
    director.command(&["detach"])?;
    director.run_timed(file)
}

/// Applies a file. Checks the number of changes if it is given.
fn apply(director: &Director, file: &str, steps: Option<usize>) -> Result<Duration> {
    let path = director.path(file);
    let path = path.to_str().context("a path that is no text")?;
    let (took, plan) = director.timed(&["apply", path])?;
    let lines = plan.lines().count();
    if let Some(steps) = steps {
        ensure!(
            lines == steps,
            "applying {file} took {lines} steps, not {steps}"
        );
    }
    Ok(took)
}

fn report_edits(beside: &str, latencies: Latencies, done: &mut impl FnMut(Row)) {
    let Latencies {
        add,
        drain,
        delete,
        command,
    } = latencies;
    for (verb, values) in [("add", add), ("drain", drain), ("del", delete)] {
        let mut row = milliseconds(
            format!("server {verb} until packets follow, {beside}"),
            &values,
        );
        row.target = Some(Target::at_most(row.median(), 10.0, "≤ 10 ms"));
        done(row);
    }
    let case = format!("server add, drain, del until the command ends, {beside}");
    done(milliseconds(case, &command));
}
