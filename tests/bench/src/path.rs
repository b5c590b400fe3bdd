//! Measures the whole cost of forwarding a packet: from a client's interface, through the director
//! in the kernel, to a server's interface.
//!
//! The kernel makes packets of 60 bytes and sends them down a [`lane`], in which one of several
//! [`way`]s of forwarding is at work. The other end counts them and checks the first. Sender,
//! director and receiver share one CPU. In every round, a director that drops everything is
//! measured, too: its time is that of sending, and is subtracted.
//!
//! With a clock that counts instructions (in a virtual machine, see `guest`), figures are
//! instructions.

mod arrival;
mod lane;
mod way;

use std::{net::SocketAddrV4, ops::Range};

use anyhow::{Context, Result, ensure};
use lb_lab::wait::wait_until;
use lb_tests::packets::{ACK, Packet, SYN, VIP};
use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use self::{
    arrival::Rewrite,
    lane::{CLIENTS, Lane, SERVERS},
    way::{Way, Working, port},
};
use super::{
    feed::{Feed, Target, Template},
    figures::count,
    report::{Row, Target as Limit, Unit},
};

/// Packets that are made before the first of them is sent: as many as a driver receives at once.
const BATCH: u32 = 64;
/// The number of flows of known connections.
const FLOWS: u32 = 1000;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds: values for each figure.
    pub samples: u32,
    /// Packets for each value.
    pub packets: u32,
    /// Number of connections that are opened, with one packet each.
    pub connections: u32,
}

/// What a nanosecond of the machine's clock means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A nanosecond.
    Time,
    /// An instruction of the CPU.
    Instructions,
}

/// Measures every way that the machine has.
pub fn measure(effort: Effort, clock: Clock, mut done: impl FnMut(Row)) -> Result<()> {
    let mut path = Path::open(clock)?;
    let rounds = path.known_connections(effort)?;
    let fresh = path.new_connections(effort)?;
    let results = rounds.into_iter().chain(fresh);
    Results(results.collect())
        .rows(clock)
        .into_iter()
        .for_each(&mut done);
    Ok(())
}

/// A kind of packet that is measured.
#[derive(Clone, Copy, Debug)]
struct Case {
    way: Way,
    /// Its name, which follows the way's.
    name: &'static str,
    /// The service's port.
    port: u16,
    rewrite: Rewrite,
}

const SENDER: Case = case(Way::Sink, "", port::DR, Rewrite::Nothing);

/// The kinds of packets of known connections.
const KNOWN: [Case; 13] = [
    SENDER,
    case(Way::Redirect, "", port::DR, Rewrite::Swap),
    case(Way::Router, "", port::DR, Rewrite::Hop),
    case(Way::Nftables, " NAT in", port::NAT, Rewrite::ToServer),
    case(Way::Nftables, " NAT out", port::REPLIES, Rewrite::FromVip),
    case(Way::Ipvs, " DR", port::DR, Rewrite::Hop),
    case(Way::Ipvs, " NAT in", port::NAT, Rewrite::ToServer),
    case(Way::Ipvs, " NAT out", port::REPLIES, Rewrite::FromVip),
    case(Way::Ipvs, " TUN", port::TUN, Rewrite::Tunnel),
    case(Way::Lb, " DR", port::DR, Rewrite::Hop),
    case(Way::Lb, " NAT in", port::NAT, Rewrite::ToServer),
    case(Way::Lb, " NAT out", port::REPLIES, Rewrite::FromVip),
    case(Way::Lb, " TUN", port::TUN, Rewrite::Tunnel),
];

/// The kinds of packets that each open a connection.
const NEW: [Case; 2] = [
    case(Way::Ipvs, NEW_CONNECTIONS, port::NEW, Rewrite::Hop),
    case(Way::Lb, NEW_CONNECTIONS, port::NEW, Rewrite::Hop),
];
const NEW_CONNECTIONS: &str = " DR, every packet a new connection";

const fn case(way: Way, name: &'static str, port: u16, rewrite: Rewrite) -> Case {
    Case {
        way,
        name,
        port,
        rewrite,
    }
}

impl Case {
    /// The client's packet of flow 0. Flows differ in their source.
    fn client_packet(self, lane: &Lane, flags: u8) -> Packet {
        let to = match self.way {
            Way::Router => SERVERS[0],
            _ => VIP,
        };
        let packet = Packet::tcp(first_client(), SocketAddrV4::new(to, self.port), flags);
        packet.hop(lane.client.mac, lane.client.director)
    }

    /// The packet of flow 0 that is measured: of a known connection, or one that opens it.
    fn packet(self, lane: &Lane) -> Packet {
        match self.rewrite {
            Rewrite::FromVip => {
                let from = SocketAddrV4::new(SERVERS[0], self.port);
                let packet = Packet::tcp(from, first_client(), ACK);
                packet.hop(lane.server.mac, lane.server.director)
            }
            _ if self.port == port::NEW => self.client_packet(lane, SYN),
            _ => self.client_packet(lane, ACK),
        }
    }

    /// The packets that open a connection. netfilter takes the sender of a connection's first
    /// packet for the client. After a SYN alone, it takes an ACK for invalid.
    fn opening(self) -> &'static [u8] {
        match self.way {
            Way::Ipvs | Way::Lb => &[SYN, ACK],
            Way::Nftables => &[ACK],
            Way::Sink | Way::Redirect | Way::Router => &[],
        }
    }

    fn row(self) -> String {
        format!("{}{}", self.way.name(), self.name)
    }
}

/// The source of flow 0. The others have higher ports, and then higher addresses.
fn first_client() -> SocketAddrV4 {
    SocketAddrV4::new(CLIENTS, 1024)
}

/// The feed, and a lane for each way of forwarding.
struct Path {
    feed: Feed,
    clock: Clock,
    cpu: CpuSet,
    // The first field is dropped first: the way ends before its lane.
    ways: Vec<(Way, Working, Lane)>,
}

impl Path {
    fn open(clock: Clock) -> Result<Self> {
        let mut path = Self {
            feed: Feed::load()?,
            clock,
            cpu: last_cpu()?,
            ways: Vec::new(),
        };
        for way in Way::ALL {
            if let Err(error) = way.is_there() {
                eprintln!("{} is not measured: {error:#}", way.name());
                continue;
            }
            let lane = Lane::lay(&path.feed).context("lay a lane")?;
            let started = way.start(&lane, &mut path.feed);
            let working = started.with_context(|| format!("start {}", way.name()))?;
            path.ways.push((way, working, lane));
        }
        Ok(path)
    }

    /// The cases that this machine has.
    fn present(&self, mut cases: Vec<Case>) -> Vec<Case> {
        let ways = &self.ways;
        cases.retain(|case| ways.iter().any(|(way, ..)| *way == case.way));
        cases
    }

    /// Values for each case, from rounds in which every case is measured once.
    fn known_connections(&mut self, effort: Effort) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for case in self.present(KNOWN.into()) {
            for flags in case.opening() {
                self.send(case, Some(*flags), 0..FLOWS, FLOWS)?;
            }
            measured.push(Measured::new(case.row(), case));
        }
        // The first round warms the caches and does not count.
        for round in 0..=effort.samples {
            let mut sender = 0.0;
            for measured in &mut measured {
                let all = self.send(measured.case, None, 0..FLOWS, effort.packets)?;
                if measured.case.way == Way::Sink {
                    sender = all;
                }
                if round > 0 {
                    measured.note(all, sender);
                }
            }
        }
        Ok(measured)
    }

    /// Values for each case. The connections are divided into that many parts.
    fn new_connections(&mut self, effort: Effort) -> Result<Vec<Measured>> {
        const PARTS: u32 = 4;
        let mut results = Vec::new();
        for case in self.present(NEW.into()) {
            let part = (effort.connections / PARTS).next_multiple_of(BATCH);
            let name = format!("{}, {} flows", case.row(), count(effort.connections));
            let mut measured = Measured::new(name, case);
            for flows in (0..PARTS).map(|n| n * part..(n + 1) * part) {
                let sender = self.send(SENDER, None, flows.clone(), part)?;
                let all = self.send(case, None, flows, part)?;
                measured.note(all, sender);
            }
            results.push(measured);
        }
        Ok(results)
    }

    /// Sends packets of a case, or those that open its connections. Returns the time of each. All
    /// must arrive.
    fn send(
        &mut self,
        case: Case,
        opening: Option<u8>,
        flows: Range<u32>,
        packets: u32,
    ) -> Result<f64> {
        let (.., lane) = self
            .ways
            .iter()
            .find(|(way, ..)| *way == case.way)
            .context("a lane for each way")?;
        // Connections are opened by clients, even if servers' packets are measured.
        let reply = case.rewrite == Rewrite::FromVip && opening.is_none();
        let (end, packet, rewrite) = match opening {
            _ if reply => (&lane.server, case.packet(lane), case.rewrite),
            Some(flags) if case.rewrite == Rewrite::FromVip => (
                &lane.client,
                case.client_packet(lane, flags),
                Rewrite::ToServer,
            ),
            Some(flags) => (&lane.client, case.client_packet(lane, flags), case.rewrite),
            None => (&lane.client, case.packet(lane), case.rewrite),
        };
        let template = if reply {
            Template::by_destination(packet.frame())
        } else {
            Template::by_source(packet.frame())
        };
        // Only full batches, so that all values are comparable.
        let packets = packets.next_multiple_of(BATCH);
        let feed = &mut self.feed;
        feed.send_by(end.interface)?;
        feed.empty_sink()?;
        feed.prepare(&template, Target::Send, flows.clone())?;
        let run = end.namespace.inside(|| {
            self.clock.stay_on(&self.cpu)?;
            feed.run_live(packets, BATCH)
        })?;
        // The last packets may not have arrived yet.
        let what = format!("{packets} packets arrive ({})", case.row());
        let kept = wait_until(&what, || {
            let (arrived, kept) = feed.swallowed()?;
            ensure!(arrived == u64::from(packets), "{arrived} have arrived");
            Ok(kept)
        })?;
        if flows.start == 0 {
            rewrite
                .check(lane, &packet, &kept)
                .with_context(|| format!("of {}", case.row()))?;
        }
        Ok(run.per_packet)
    }
}

/// The last CPU that this process may use. The first one handles the machine's interrupts.
fn last_cpu() -> Result<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let numbers = (0..CpuSet::count()).rev();
    let mut usable = numbers.filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let mut last = CpuSet::new();
    last.set(usable.next().context("no CPU to run on")?)?;
    Ok(last)
}

impl Clock {
    /// Keeps this thread on a CPU. When time is measured, other threads get as little of the CPU as
    /// nice values can do. When instructions are measured, all others go first: before Linux 6.4,
    /// packets that the kernel leaves to its thread `ksoftirqd` wait for that thread, and are lost
    /// if it has to wait long.
    fn stay_on(self, cpu: &CpuSet) -> Result<()> {
        let nice = match self {
            Self::Time => -20,
            Self::Instructions => 19,
        };
        sched_setaffinity(Pid::from_raw(0), cpu).context("stay on one CPU")?;
        // SAFETY: a system call without pointers. On Linux, it applies to the calling thread.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(result).context("set the nice value")?;
        Ok(())
    }
}

/// The measurements of a case.
struct Measured {
    name: String,
    case: Case,
    /// The time for each packet in nanoseconds of the clock, sending included.
    all: Vec<f64>,
    /// The time without sending.
    net: Vec<f64>,
}

impl Measured {
    fn new(name: String, case: Case) -> Self {
        Self {
            name,
            case,
            all: Vec::new(),
            net: Vec::new(),
        }
    }

    fn note(&mut self, all: f64, sender: f64) {
        self.all.push(all);
        self.net.push(all - sender);
    }
}

/// All measurements.
struct Results(Vec<Measured>);

impl Results {
    fn rows(&self, clock: Clock) -> Vec<Row> {
        self.0
            .iter()
            .flat_map(|measured| self.rows_of(measured, clock))
            .collect()
    }

    fn rows_of(&self, measured: &Measured, clock: Clock) -> Vec<Row> {
        let Measured {
            name,
            case,
            all,
            net,
        } = measured;
        let (group, unit) = match clock {
            Clock::Time => ("path", Unit::NanosecondsPerPacket),
            Clock::Instructions => ("guest", Unit::InstructionsPerPacket),
        };
        let mut row = match case.way {
            Way::Sink => Row::new(group, name.clone(), unit, all.clone()),
            _ => Row::new(
                group,
                format!("{name}, net of the sender"),
                unit,
                net.clone(),
            ),
        };
        row.target = self.target(measured, clock);
        let mut rows = vec![row];
        if clock == Clock::Time {
            let rate = all.iter().map(|nanoseconds| 1e3 / nanoseconds).collect();
            rows.push(Row::new(
                group,
                format!("{name}, rate"),
                Unit::MegapacketsPerSecond,
                rate,
            ));
        }
        rows
    }

    /// By what factor our time must be smaller than another way's.
    fn target(&self, ours: &Measured, clock: Clock) -> Option<Limit> {
        let (way, factor) = match (clock, ours.case.way, ours.case.port) {
            (Clock::Time, Way::Lb, port::DR) => (Way::Router, 5.0),
            (Clock::Instructions, Way::Lb, port::DR) => (Way::Ipvs, 15.0),
            (Clock::Instructions, Way::Lb, port::NEW) => (Way::Ipvs, 5.0),
            (Clock::Instructions, Way::Lb, _) => (Way::Ipvs, 12.0),
            _ => return None,
        };
        let comparable = |other: &&Measured| match way {
            Way::Router => true,
            _ => (other.case.name, other.all.len()) == (ours.case.name, ours.all.len()),
        };
        let of_way = self.0.iter().filter(|other| other.case.way == way);
        let theirs = median(&of_way.clone().find(comparable)?.net);
        let less = theirs / median(&ours.net);
        let text = format!("≥ {factor} × less than {} ({theirs:.0})", way.name());
        Some(Limit::at_least(less, factor, text))
    }
}

fn median(values: &[f64]) -> f64 {
    Row::new("", "", Unit::Ratio, values.to_vec()).median()
}
