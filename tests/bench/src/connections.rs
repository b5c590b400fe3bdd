//! Measures connections through the real daemon, in a lab with real servers: how fast they open,
//! the time that the director adds, what their bytes cost, and what idle ones cost.
//!
//! Client, servers and switches share the machine's CPUs with the director, so rates are those of
//! the whole lab. The baseline tells the director's part: the same client, directly at the same
//! kind of server.

mod held;
mod lab;
mod visits;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_lab::{lab::Lab, wait::wait_until};
use lb_tests::director::Director;

use self::lab::{GROUP, PORTS, WAYS, Way, file, topology};
use crate::{
    nginx::{LARGE, Nginx},
    processors,
    report::{Row, Unit},
};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Values for each figure.
    pub samples: u32,
    /// Clients at the same time, when as many connections as possible are opened.
    pub clients: u32,
    /// Seconds that each value of the rate is measured for.
    pub seconds: u32,
    /// Connections, one after the other, for each value of the latency.
    pub visits: u32,
    /// The numbers of connections that are held.
    pub held: &'static [u32],
}

/// Measures everything.
pub fn measure(effort: Effort, mut done: impl FnMut(Row)) -> Result<()> {
    let lab = Lab::realise(&topology())?;
    let mut servers = Vec::new();
    for host in ["direct", "translated", "tunnelled"] {
        servers.push(Nginx::start(lab.host(host)?.as_ref(), &PORTS)?);
    }
    // The server has the VIP on its tunnel interface, in the network where the director answers ARP
    // for the VIP.
    lab.host("tunnelled")?.sysctls(&[
        ("ipv4/conf/all/arp_ignore", "1"),
        ("ipv4/conf/all/arp_announce", "2"),
    ])?;
    // The server keeps each closed connection's port for a minute.
    let ports = [("ipv4/ip_local_port_range", "1025 65000")];
    lab.host("client")?.sysctls(&ports)?;
    let path = Path {
        director: Director::start(&lab, &file(1_000_000))?,
        lab: &lab,
    };
    path.warm_up()?;
    path.rates(effort, &mut done)?;
    path.latencies(effort, &mut done)?;
    path.transfers(effort, &mut done)?;
    drop(path);
    for &number in effort.held {
        held::measure(&lab, number, effort.samples, &mut done)?;
    }
    Ok(())
}

/// Indices of ways: each once in every round. Each round begins with another one, so that none
/// always follows the same one.
fn turns(rounds: u32) -> impl Iterator<Item = usize> {
    let ways = WAYS.len();
    (0..rounds as usize).flat_map(move |round| (0..ways).map(move |step| (round + step) % ways))
}

/// A director and its lab.
struct Path<'a> {
    director: Director,
    lab: &'a Lab,
}

impl Path<'_> {
    /// Waits until the director knows all next hops.
    fn warm_up(&self) -> Result<()> {
        for way in &WAYS {
            wait_until(&format!("{} answers", way.name), || {
                visits::one_by_one(self.lab.host("client")?, &way.addresses(), 1)
            })?;
        }
        Ok(())
    }

    /// Number of connections that the director has opened on this way so far.
    fn opened(&self, way: &Way) -> Result<u64> {
        if !way.balanced {
            return Ok(0);
        }
        let stats = self.director.stats()?;
        let services = way.addresses();
        let services = services.iter().map(|address| {
            let service = stats.service(&format!("tcp/{address}"))?;
            Ok(service.counters.connections)
        });
        services.sum()
    }

    /// Runs something on a way, and checks that the right number of connections passed the
    /// director.
    ///
    /// The director may have opened fewer: `connect` tries ports in random steps (Linux 6.0) and
    /// uses some again before the director has forgotten their last connection.
    fn passing<T>(
        &self,
        way: &Way,
        work: impl FnOnce() -> Result<T>,
        connections: impl FnOnce(&T) -> u64,
    ) -> Result<T> {
        let before = self.opened(way)?;
        let result = work().with_context(|| format!("on the way {}", way.name))?;
        let opened = self.opened(way)? - before;
        let expected = if way.balanced {
            connections(&result)
        } else {
            0
        };
        ensure!(
            opened >= expected - expected / 4,
            "{}: of {expected} connections, the director opened {opened}",
            way.name
        );
        Ok(result)
    }

    fn rates(&self, effort: Effort, done: &mut impl FnMut(Row)) -> Result<()> {
        let client = self.lab.host("client")?;
        let mut rates = WAYS.map(|_| Vec::new());
        for place in turns(effort.samples) {
            let (way, rates) = (&WAYS[place], &mut rates[place]);
            let crowd = || visits::crowd(client, &way.addresses(), effort.clients, effort.seconds);
            let crowd = self.passing(way, crowd, |crowd| crowd.connections)?;
            rates.push(crowd.rate);
        }
        for (way, rates) in WAYS.iter().zip(rates) {
            let case = format!("new connections, {} clients, {}", effort.clients, way.name);
            done(Row::new(GROUP, case, Unit::ConnectionsPerSecond, rates));
        }
        Ok(())
    }

    fn latencies(&self, effort: Effort, done: &mut impl FnMut(Row)) -> Result<()> {
        let client = self.lab.host("client")?;
        /// The values of a way, in the order of the rounds.
        type Rounds = Vec<f64>;
        let mut latencies: [[Rounds; 2]; WAYS.len()] = Default::default();
        for place in turns(effort.samples) {
            let (way, [half, most]) = (&WAYS[place], &mut latencies[place]);
            let visit = || visits::one_by_one(client, &way.addresses(), effort.visits);
            let times = self.passing(way, visit, |times| times.len() as u64)?;
            let micros = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
            let times = Row::new(GROUP, way.name, Unit::Microseconds, micros);
            half.push(times.quantile(0.5));
            most.push(times.quantile(0.99));
        }
        let row = |case, values| Row::new(GROUP, case, Unit::Microseconds, values);
        for (place, percentile) in ["p50", "p99"].into_iter().enumerate() {
            for (way, latencies) in WAYS.iter().zip(&latencies) {
                let case = format!("one connection, {percentile}, {}", way.name);
                done(row(case, latencies[place].clone()));
            }
            let [straight, balanced @ ..] = &latencies;
            for (way, latencies) in WAYS.iter().skip(1).zip(balanced) {
                let pairs = latencies[place].iter().zip(&straight[place]);
                let added = pairs.map(|(with, without)| with - without).collect();
                let case = format!("one connection, {percentile}, added by {}", way.name);
                done(row(case, added));
            }
        }
        Ok(())
    }

    /// The CPU time of a download in the kernel, on all CPUs together: client, server, switch,
    /// director, and anything else that the machine does in the kernel. CPU time of programs is not
    /// counted, so that compilers that run beside disturb little. Client and server work almost
    /// only in the kernel.
    fn transfers(&self, effort: Effort, done: &mut impl FnMut(Row)) -> Result<()> {
        let client = self.lab.host("client")?;
        let gigabits = LARGE as f64 * 8.0 / 1e9;
        let mut costs = WAYS.map(|_| Vec::new());
        for place in turns(effort.samples) {
            let (way, costs) = (&WAYS[place], &mut costs[place]);
            let download = || -> Result<Duration> {
                let before = processors::in_kernel()?;
                visits::download(client, way.addresses()[0])?;
                Ok(processors::in_kernel()?.saturating_sub(before))
            };
            let busy = self.passing(way, download, |_| 1)?;
            costs.push(busy.as_secs_f64() * 1e3 / gigabits);
        }
        let row = |case, values| Row::new(GROUP, case, Unit::CpuMillisecondsPerGigabit, values);
        let [straight, balanced @ ..] = &costs;
        for (way, costs) in WAYS.iter().skip(1).zip(balanced) {
            let pairs = costs.iter().zip(straight);
            let added = pairs.map(|(with, without)| with - without).collect();
            done(row(format!("download, added by {}", way.name), added));
        }
        for (way, costs) in WAYS.iter().zip(costs) {
            let case = format!("download, client, server and all between, {}", way.name);
            done(row(case, costs));
        }
        Ok(())
    }
}
