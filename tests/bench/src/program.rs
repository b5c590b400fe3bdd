//! Measures what the director's program costs for each packet, without driver and wire.
//!
//! The kernel feeds it packets (see [`feed`](super::feed)), a million at a time, of all flows in
//! turn. Before each sample, an empty program gets the same packets. Its time is that of the feed
//! itself, and is subtracted. Everything is on: states, time stamps, counters.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
};

use anyhow::{Context, Result, ensure};
use lb_common::{
    protocol::{TCP, UDP},
    schedule::Scheduler,
    server::Method,
    table::places::buckets_for,
};
use lb_tests::{
    dataplane::{Bench, Served, Server, Service, Size, server_address},
    footprint::Footprint,
    packets::{ACK, CLIENT, Packet, SYN, VIP},
};
use nix::errno::Errno;

use super::{
    feed::{Feed, PASS, TRANSMIT, Target, Template},
    figures::{count, flows_of},
    observer::Observer,
    peer::{self, Measure},
    report::{Point, Row, Target as Limit, Unit},
};

const GROUP: &str = "program";

/// The daemon's default size of the connection table.
pub const CONNECTIONS: u32 = 1_000_000;
const SERVERS: u32 = 8192;

/// The numbers of flows that known connections are measured with.
const SWEEP: [u32; 4] = [1, 1_000, 100_000, 1_000_000];

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Values for each figure.
    pub samples: u32,
    /// Packets for each value, if the number of flows does not need more.
    pub packets: u32,
}

/// A kind of packet of known connections. Each is a curve.
struct Known {
    name: &'static str,
    method: Method,
    protocol: u8,
    reply: bool,
}

const KNOWN: [Known; 5] = [
    known("DR", Method::Dr, TCP),
    known("NAT in", Method::Nat, TCP),
    Known {
        reply: true,
        ..known("NAT out", Method::Nat, TCP)
    },
    known("TUN", Method::Tun, TCP),
    known("UDP DR", Method::Dr, UDP),
];

const fn known(name: &'static str, method: Method, protocol: u8) -> Known {
    Known {
        name,
        method,
        protocol,
        reply: false,
    }
}

/// The name of the curve of katran's estimate.
pub const KATRAN: &str = "reference: katran, projected";

/// The beginning of the names of curves of new connections over numbers of servers.
pub const OPENING: &str = "new connection, ";

/// The kinds of new connections. Each is a curve.
const NEW: [New; 12] = [
    new(Scheduler::Rr, 4),
    new(Scheduler::Rr, 64),
    new(Scheduler::Rr, 1000),
    new(Scheduler::Wrr, 4),
    new(Scheduler::Wrr, 64),
    new(Scheduler::Wrr, 1000),
    new(Scheduler::Wlc, 4),
    new(Scheduler::Wlc, 64),
    new(Scheduler::Wlc, 1000),
    new(Scheduler::Lc, 1000),
    New {
        held: 200_000,
        ..new(Scheduler::Rr, 4)
    },
    New {
        held: 1_000_000,
        ..new(Scheduler::Rr, 4)
    },
];

const fn new(scheduler: Scheduler, servers: u32) -> New {
    New {
        scheduler,
        servers,
        held: 0,
    }
}

/// Measures everything.
pub fn measure(effort: Effort, observer: &dyn Observer) -> Result<()> {
    go_first()?;
    let mut meter = Meter {
        feed: Feed::for_references()?,
        effort,
        observer,
    };
    meter.fill_tables()?;
    references(&mut meter)?;
    not_ours(&mut meter)?;
    for kind in &KNOWN {
        known_connections(&mut meter, kind)?;
    }
    for case in &NEW {
        new_connections(&mut meter, case)?;
    }
    flood(&mut meter)?;
    size(&meter)
}

/// Gives this thread a real-time priority, so that other processes do not interrupt it.
fn go_first() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live until the call returns; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    Errno::result(result).context("cannot schedule the measuring thread before all others")?;
    Ok(())
}

/// The feed, the effort, and the observer.
struct Meter<'a> {
    feed: Feed,
    effort: Effort,
    observer: &'a dyn Observer,
}

impl Meter<'_> {
    /// Whether to measure this. Tells the observer, if so.
    fn begins(&self, case: &str) -> bool {
        let wanted = self.observer.wants(case);
        if wanted {
            self.observer.begins(case);
        }
        wanted
    }

    fn done(&self, row: Row) {
        self.observer.done(row);
    }

    fn wants_any_of(&self, curve: &str) -> bool {
        let mut cases = SWEEP.iter().map(|&flows| swept_case(curve, flows));
        cases.any(|case| self.observer.wants(&case))
    }

    /// Fills the tables of the reference lookups.
    fn fill_tables(&mut self) -> Result<()> {
        self.observer.begins("tables for reference lookups");
        let all = 0..SWEEP[SWEEP.len() - 1];
        let template = reference_packets();
        self.once(&template, Target::Remember, all.clone(), all.end, TRANSMIT)?;
        Ok(())
    }

    /// Samples of a target's time for each packet, without the feed's.
    fn sample(
        &mut self,
        template: &Template,
        target: Target,
        flows: Range<u32>,
        action: u32,
    ) -> Result<Samples> {
        let packets = self.effort.packets.max(flows.len() as u32);
        let mut samples = Samples::default();
        // The first round warms the caches and does not count.
        for round in 0..=self.effort.samples {
            let lookup = self.lookup(flows.clone(), packets)?;
            let fed = self.once(template, Target::Empty, flows.clone(), packets, TRANSMIT)?;
            let worked = self.once(template, target, flows.clone(), packets, action)?;
            if round > 0 {
                samples.values.push(worked - fed);
                samples.lookups.push(lookup);
            }
        }
        Ok(samples)
    }

    /// The time of the lookup that katran's estimate is based on.
    fn lookup(&mut self, flows: Range<u32>, packets: u32) -> Result<f64> {
        let template = reference_packets();
        let fed = self.once(&template, Target::Empty, flows.clone(), packets, TRANSMIT)?;
        let worked = self.once(&template, Target::Lookup40, flows, packets, TRANSMIT)?;
        Ok(worked - fed)
    }

    /// The time for each of this many packets in nanoseconds, the feed's included.
    fn once(
        &mut self,
        template: &Template,
        target: Target,
        flows: Range<u32>,
        packets: u32,
        action: u32,
    ) -> Result<f64> {
        self.feed.prepare(template, target, flows)?;
        let run = self.feed.run(packets)?;
        ensure!(
            run.action == action,
            "{target:?} answered XDP action {} instead of {action}",
            run.action
        );
        Ok(run.per_packet)
    }

    /// Feeds a packet of each flow to the director, so that it has a connection.
    fn open(&mut self, connections: &[&Template], flows: Range<u32>) -> Result<()> {
        for template in connections {
            // The feed runs with at least two packets: a single flow gets both.
            let packets = flows.len().max(2) as u32;
            self.once(template, Target::Director, flows.clone(), packets, TRANSMIT)?;
        }
        Ok(())
    }
}

/// Pairs of the time for each packet and that of the 40-byte lookup at about the same moment, in
/// nanoseconds.
#[derive(Default)]
struct Samples {
    values: Vec<f64>,
    lookups: Vec<f64>,
}

impl Samples {
    fn compared_with_katran(&self, measure: Measure, flows: u32, share: f64) -> Option<Limit> {
        let pairs = self
            .values
            .iter()
            .copied()
            .zip(self.lookups.iter().copied());
        peer::target(measure, flows, pairs, share)
    }
}

/// The flows that the reference programs look up.
fn reference_packets() -> Template {
    let vip = SocketAddrV4::new(VIP, 80);
    Template::by_source(Packet::tcp(client(), vip, ACK).frame())
}

/// References for the machine's speed: programs that any XDP program resembles, and katran's
/// estimate.
fn references(meter: &mut Meter) -> Result<()> {
    let template = reference_packets();
    for (case, target) in [
        ("reference: empty", Target::Empty),
        ("reference: MAC swap", Target::Swap),
    ] {
        if meter.begins(case) {
            let samples = meter.sample(&template, target, 0..1, TRANSMIT)?;
            meter.done(row(case, samples.values));
        }
    }
    for (name, target) in [
        ("reference: lookup of 16 bytes", Target::Lookup16),
        ("reference: lookup of 40 bytes", Target::Lookup40),
        ("reference: one line of 96 MB", Target::Line),
    ] {
        for flows in SWEEP {
            if !meter.begins(&swept_case(name, flows)) {
                continue;
            }
            let samples = meter.sample(&template, target, 0..flows, TRANSMIT)?;
            if target == Target::Lookup40 {
                let lookups = samples.values.iter();
                let katran = lookups.map(|&lookup| peer::katran(Measure::Tcp, flows, lookup));
                if let Some(values) = katran.collect() {
                    meter.done(swept(KATRAN, flows, values));
                }
            }
            meter.done(swept(name, flows, samples.values));
        }
    }
    Ok(())
}

fn not_ours(meter: &mut Meter) -> Result<()> {
    const CASE: &str = "not ours";
    if !meter.begins(CASE) {
        return Ok(());
    }
    let (bench, _) = director(Service::tcp(80).server(Server::direct(11)))?;
    meter.feed.aim(bench.program().fd()?)?;
    let elsewhere = SocketAddrV4::new(*CLIENT.ip(), 80);
    let template = Template::by_source(Packet::tcp(client(), elsewhere, ACK).frame());
    let samples = meter.sample(&template, Target::Director, 0..1, PASS)?;
    let target = samples.compared_with_katran(Measure::Pass, 1, 0.50);
    let mut row = row(CASE, samples.values);
    row.target = target;
    meter.done(row);
    Ok(())
}

fn known_connections(meter: &mut Meter, kind: &Known) -> Result<()> {
    if !meter.wants_any_of(kind.name) {
        return Ok(());
    }
    let mut service = match kind.protocol {
        UDP => Service::udp(80),
        _ => Service::tcp(80),
    };
    // One server sends the replies of all flows.
    for name in 0..if kind.reply { 1 } else { 4 } {
        service = service.server(Server::by(kind.method, 11 + name));
    }
    let (mut bench, served) = director(service)?;
    meter.feed.aim(bench.program().fd()?)?;
    let [syn, ack] = client_packets(kind.protocol, &served);
    let measured = if kind.reply {
        let server = SocketAddrV4::new(server_address(11), served.address.port());
        Template::by_destination(Packet::tcp(server, client(), ACK).frame())
    } else {
        ack.clone()
    };
    for flows in SWEEP {
        if !meter.begins(&swept_case(kind.name, flows)) {
            continue;
        }
        bench.forget();
        meter.open(&[&syn, &ack], 0..flows)?;
        let before = passed(&bench, &served, kind.reply);
        let samples = meter.sample(&measured, Target::Director, 0..flows, TRANSMIT)?;
        let rounds = u64::from(meter.effort.samples + 1);
        let expected = rounds * u64::from(meter.effort.packets.max(flows));
        let counted = passed(&bench, &served, kind.reply) - before;
        // In a table that is nearly full of NAT connections, one in a million finds no slot.
        let lost = expected - counted.min(expected);
        ensure!(
            counted <= expected && lost <= expected / 100_000,
            "{}: {counted} of {expected} packets passed",
            kind.name
        );
        let measure = match kind.protocol {
            UDP => Measure::Udp,
            _ => Measure::Tcp,
        };
        let limit = match flows {
            1_000_000 => 0.65,
            100_000 => 0.40,
            _ if kind.protocol == UDP => 0.25,
            _ if kind.method == Method::Dr => 0.30,
            _ => 0.45,
        };
        let target = samples.compared_with_katran(measure, flows, limit);
        let mut row = swept(kind.name, flows, samples.values);
        row.target = target;
        meter.done(row);
    }
    Ok(())
}

/// A scheduler, the number of servers, and the connections that the table already holds.
struct New {
    scheduler: Scheduler,
    servers: u32,
    held: u32,
}

/// Packets that each open a connection.
const BATCH: u32 = 50_000;

impl New {
    fn case(&self) -> String {
        let curve = self.curve();
        match self.held {
            0 => format!("{curve}, {} servers", self.servers),
            held => format!("{curve}, {} servers, {} held", self.servers, count(held)),
        }
    }

    /// For a curve over numbers of servers.
    fn curve(&self) -> String {
        format!("{OPENING}{}", scheduler_name(self.scheduler))
    }
}

fn new_connections(meter: &mut Meter, case: &New) -> Result<()> {
    /// How many more connections than expected may be in the table.
    const BEYOND: u32 = 4 * BATCH;
    if !meter.begins(&case.case()) {
        return Ok(());
    }
    let mut service = Service::tcp(80).scheduler(case.scheduler);
    for number in 0..case.servers {
        let [_, _, high, low] = number.to_be_bytes();
        let server = Server::direct(11).at(Ipv4Addr::new(10, 3, high, low));
        service = service.server(server.weight(1 + number % 3));
    }
    let (mut bench, served) = director(service)?;
    meter.feed.aim(bench.program().fd()?)?;
    let [syn, ack] = client_packets(TCP, &served);
    let mut samples = Samples::default();
    let mut next = u32::MAX;
    // The first round warms the caches and does not count.
    for round in 0..=meter.effort.samples {
        if next >= case.held + BEYOND {
            bench.forget();
            next = case.held;
            if next > 0 {
                meter.open(&[&syn, &ack], 0..next)?;
            }
        }
        let lookup = meter.lookup(0..1, BATCH)?;
        let flows = next..next + BATCH;
        next = flows.end;
        let fed = meter.once(&syn, Target::Empty, flows.clone(), BATCH, TRANSMIT)?;
        let before = opened(&bench, &served);
        let worked = meter.once(&syn, Target::Director, flows, BATCH, TRANSMIT)?;
        let opened = opened(&bench, &served) - before;
        ensure!(
            opened == u64::from(BATCH),
            "{opened} of {BATCH} SYNs opened a connection"
        );
        if round > 0 {
            samples.values.push(worked - fed);
            samples.lookups.push(lookup);
        }
    }
    let target = match case.scheduler {
        Scheduler::Rr | Scheduler::Wrr if case.held == 0 => {
            samples.compared_with_katran(Measure::Syn, 1, 2.5)
        }
        _ => None,
    };
    let mut row = row(case.case(), samples.values);
    row.target = target;
    if case.held == 0 {
        row.point = Some(Point {
            curve: case.curve(),
            x: f64::from(case.servers),
        });
    }
    if case.scheduler == Scheduler::Wlc && case.servers == 1000 {
        row.target = Some(Limit::at_most(row.median() / 1e3, 1.5, "≤ 1.5 µs"));
    }
    meter.done(row);
    Ok(())
}

/// SYNs that are never completed, to a table that is full of such connections: each pushes out the
/// one that has waited longest.
fn flood(meter: &mut Meter) -> Result<()> {
    const CASE: &str = "SYN flood, table full of half-open connections";
    const SLOTS: u32 = 3 * CONNECTIONS;
    if !meter.begins(CASE) {
        return Ok(());
    }
    let (bench, served) = director(Service::tcp(80).server(Server::direct(11)))?;
    meter.feed.aim(bench.program().fd()?)?;
    let [syn, _] = client_packets(TCP, &served);
    // Some of the last ones find no slot: they have begun to push out others.
    let mut next = SLOTS + SLOTS / 2;
    meter.open(&[&syn], 0..next)?;
    let mut values = Vec::new();
    for round in 0..=meter.effort.samples {
        let flows = next..next + BATCH;
        next = flows.end;
        let fed = meter.once(&syn, Target::Empty, flows.clone(), BATCH, TRANSMIT)?;
        let worked = meter.once(&syn, Target::Director, flows, BATCH, TRANSMIT)?;
        if round > 0 {
            values.push(worked - fed);
        }
    }
    meter.done(row(CASE, values));
    Ok(())
}

/// The size of the program in the kernel.
fn size(meter: &Meter) -> Result<()> {
    const CASES: [&str; 3] = ["program, verified", "program, translated", "program, JITed"];
    if !CASES.iter().any(|case| meter.begins(case)) {
        return Ok(());
    }
    let footprint = Footprint::of(Bench::new().program())?;
    let figures = [
        (Unit::Instructions, footprint.verified_instructions),
        (Unit::Bytes, footprint.translated_bytes),
        (Unit::Bytes, footprint.jited_bytes),
    ];
    for (case, (unit, figure)) in CASES.into_iter().zip(figures) {
        meter.done(Row::new(GROUP, case, unit, vec![f64::from(figure)]));
    }
    Ok(())
}

/// A director of the default size, with this service.
fn director(service: Service) -> Result<(Bench, Served)> {
    let mut bench = Bench::sized(Size {
        buckets: buckets_for(CONNECTIONS),
        servers: SERVERS,
        services: SERVERS,
        roster_lines: 1024,
    });
    let served = bench.serve(service);
    Ok((bench, served))
}

/// The packet that opens a connection, and the one that follows. With UDP, both are the same.
fn client_packets(protocol: u8, served: &Served) -> [Template; 2] {
    [SYN, ACK].map(|flags| {
        let packet = match protocol {
            UDP => Packet::udp(client(), served.address),
            _ => Packet::tcp(client(), served.address, flags),
        };
        Template::by_source(packet.frame())
    })
}

/// The source of flow 0. The others have higher ports, and then higher addresses.
fn client() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 0), 1024)
}

fn opened(bench: &Bench, served: &Served) -> u64 {
    let servers = served.servers.iter();
    servers
        .map(|&server| bench.traffic(server).connections)
        .sum()
}

fn passed(bench: &Bench, served: &Served, reply: bool) -> u64 {
    let traffic = served.servers.iter().map(|&server| bench.traffic(server));
    traffic
        .map(|t| if reply { t.out_packets } else { t.in_packets })
        .sum()
}

fn row(case: impl Into<String>, values: Vec<f64>) -> Row {
    Row::new(GROUP, case, Unit::NanosecondsPerPacket, values)
}

/// A row of a curve over numbers of flows.
fn swept(curve: &str, flows: u32, values: Vec<f64>) -> Row {
    let mut row = row(swept_case(curve, flows), values);
    row.point = Some(Point {
        curve: curve.to_owned(),
        x: f64::from(flows),
    });
    row
}

fn swept_case(curve: &str, flows: u32) -> String {
    format!("{curve}, {}", flows_of(flows))
}

fn scheduler_name(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::Rr => "rr",
        Scheduler::Wrr => "wrr",
        Scheduler::Lc => "lc",
        Scheduler::Wlc => "wlc",
    }
}
