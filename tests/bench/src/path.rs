//! What forwarding a packet costs, all of it: from a client's interface, through the director
//! in the kernel, to a server's interface.
//!
//! The kernel makes packets of 60 bytes and sends them down a [`lane`], in which one of
//! several [`way`]s of forwarding is at work; the other end counts them and looks at the first.
//! Sender, director and receiver share one CPU. What sending costs is measured by a director
//! that drops everything, in every round anew, and subtracted.
//!
//! With a clock that counts instructions (in a guest, see `guest`), figures are instructions.

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

/// Packets that are made before the first of them leaves: as many as a driver polls at once.
const BATCH: u32 = 64;
/// Flows of known connections.
const FLOWS: u32 = 1000;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds: values for each figure.
    pub samples: u32,
    /// Packets for each value.
    pub packets: u32,
    /// Connections that are opened, at a packet each.
    pub connections: u32,
}

/// What a nanosecond of the machine's clock stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A nanosecond.
    Time,
    /// An instruction of the CPU.
    Instructions,
}

/// Measures everything that the machine has.
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
    /// What it is called, after the way's name.
    name: &'static str,
    /// The service's port.
    port: u16,
    rewrite: Rewrite,
}

const SENDER: Case = case(Way::Sink, "", port::DR, Rewrite::Nothing);

/// Of connections that are known.
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

/// Of connections that each packet opens.
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
    /// What a client sends on flow 0; flows differ in their source.
    fn client_packet(self, lane: &Lane, flags: u8) -> Packet {
        let to = match self.way {
            Way::Router => SERVERS[0],
            _ => VIP,
        };
        let packet = Packet::tcp(first_client(), SocketAddrV4::new(to, self.port), flags);
        packet.hop(lane.client.mac, lane.client.director)
    }

    /// What is measured, on flow 0: packets that need no new connection, or that do.
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

    /// What opens connections. Netfilter takes the first packet of a connection for the client's;
    /// after a SYN alone, it finds an ACK invalid.
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

/// Flow 0's; the others have ports above it, and then addresses above it.
fn first_client() -> SocketAddrV4 {
    SocketAddrV4::new(CLIENTS, 1024)
}

/// The feed, and a lane for each way.
struct Path {
    feed: Feed,
    clock: Clock,
    cpu: CpuSet,
    // What is at work ends before the lane that it works in.
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

    /// Values for each case: rounds in which all have their turn.
    fn known_connections(&mut self, effort: Effort) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for case in self.present(KNOWN.into()) {
            for flags in case.opening() {
                self.send(case, Some(*flags), 0..FLOWS, FLOWS)?;
            }
            measured.push(Measured::new(case.row(), case));
        }
        // The first round warms up.
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

    /// Values for each case: as many as there are parts of all the connections.
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

    /// Sends packets of a case, or such as open its connections, and gives the time that each
    /// took. All have to arrive.
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
        // What opens a connection comes from its client, whoever is measured then.
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
        // Full batches only, so that all have the same to bear.
        let packets = packets.next_multiple_of(BATCH);
        let feed = &mut self.feed;
        feed.send_by(end.interface)?;
        feed.empty_sink()?;
        feed.prepare(&template, Target::Send, flows.clone())?;
        let run = end.namespace.inside(|| {
            self.clock.stay_on(&self.cpu)?;
            feed.run_live(packets, BATCH)
        })?;
        // The last of them may still be on their way.
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

/// The last of the CPUs that this process may use: the first one has the machine's interrupts.
fn last_cpu() -> Result<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let numbers = (0..CpuSet::count()).rev();
    let mut usable = numbers.filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let mut last = CpuSet::new();
    last.set(usable.next().context("no CPU to run on")?)?;
    Ok(last)
}

impl Clock {
    /// Keeps this thread on a CPU. Where time counts, others are to be off it as far as nice
    /// values can; where instructions do, all others go first: before Linux 6.4, packets that
    /// the kernel leaves to its thread `ksoftirqd` wait for that, and are lost if it must wait.
    fn stay_on(self, cpu: &CpuSet) -> Result<()> {
        let nice = match self {
            Self::Time => -20,
            Self::Instructions => 19,
        };
        sched_setaffinity(Pid::from_raw(0), cpu).context("stay on one CPU")?;
        // SAFETY: a system call without pointers; of this thread, on Linux.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(result).context("set the nice value")?;
        Ok(())
    }
}

/// What was measured of a case.
struct Measured {
    name: String,
    case: Case,
    /// For each packet, sending included; nanoseconds of the clock.
    all: Vec<f64>,
    /// Without sending.
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

/// All that was measured.
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

    /// How many times less ours is to take than another way.
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
