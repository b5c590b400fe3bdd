//! The feed: millions of packets, each of another flow, made and counted in the kernel.
//!
//! Their program is `lb-bench-ebpf` (`tests/bench/ebpf`). `cargo xtask bench` compiles it and names
//! the object in the variable `LB_BENCH_OBJECT`.

use std::{env, ops::Range};

use anyhow::{Context, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod, TestRun, TestRunAttrs, TestRunOptions,
    maps::{Array, MapData, PerCpuArray, PerCpuValues, ProgramArray},
    programs::{ProgramFd, Xdp},
    util::nr_cpus,
};

#[path = "../ebpf/src/plan.rs"]
mod plan;
use plan::{HEADERS, KEPT, LINES, Plan, SENT_BY, TURNED_TO};

// SAFETY: integers without padding.
unsafe impl Pod for Plan {}

/// The number of entries of the tables that the reference lookups use.
const LOOKUP_ENTRIES: u32 = 4_000_000;

/// The program that gets the fed packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The program that [`Feed::aim`] was given.
    Director,
    /// Nothing: transmits.
    Empty,
    /// Exchanges the MAC addresses and transmits.
    Swap,
    /// Looks up a key of 40 bytes and transmits.
    Lookup40,
    /// Looks up a key of 16 bytes and transmits.
    Lookup16,
    /// Reads one of many cache lines and transmits.
    Line,
    /// Stores the flow's key for the lookups and transmits.
    Remember,
    /// Sends out of another interface.
    Send,
}

impl Target {
    /// Its program, if it is in the feed's object.
    const fn program(self) -> Option<&'static str> {
        Some(match self {
            Self::Director => return None,
            Self::Empty => "empty",
            Self::Swap => "swap",
            Self::Lookup40 => "lookup40",
            Self::Lookup16 => "lookup16",
            Self::Line => "line",
            Self::Remember => "remember",
            Self::Send => "send",
        })
    }
}

/// The XDP action of a packet that was transmitted.
pub const TRANSMIT: u32 = 3;
/// The XDP action of a packet that was passed to the network stack.
pub const PASS: u32 = 2;

/// A packet of flow 0, and where those of other flows differ.
#[derive(Clone, Debug)]
pub struct Template {
    frame: Vec<u8>,
    by_destination: bool,
}

impl Template {
    /// Flows that differ in their source: packets of clients. The frame is that of flow 0 and has
    /// no IP options.
    #[must_use]
    pub fn by_source(frame: Vec<u8>) -> Self {
        Self::new(frame, false)
    }

    /// Flows that differ in their destination: packets to clients.
    #[must_use]
    pub fn by_destination(frame: Vec<u8>) -> Self {
        Self::new(frame, true)
    }

    fn new(mut frame: Vec<u8>, by_destination: bool) -> Self {
        frame.resize(frame.len().max(60), 0);
        Self {
            frame,
            by_destination,
        }
    }

    fn plan(&self, flows: &Range<u32>) -> Plan {
        let mut headers = [0; HEADERS];
        headers.copy_from_slice(&self.frame[..HEADERS]);
        Plan {
            headers,
            started: 0,
            ended: 0,
            fed: 0,
            packets: 0,
            next: flows.start,
            first: flows.start,
            end: flows.end,
            length: self.frame.len() as u32,
            by_destination: self.by_destination.into(),
            _pad: 0,
        }
    }
}

/// The result of a run of the feed.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The XDP action for the last packet.
    pub action: u32,
    /// The average time from one packet to the next, in nanoseconds; 0 for a single packet.
    pub per_packet: f64,
}

/// A feed in the kernel.
pub struct Feed {
    object: Ebpf,
    plan: Array<MapData, Plan>,
    leave_by: Array<MapData, u32>,
    swallowed: PerCpuArray<MapData, u64>,
    kept: Array<MapData, [u8; KEPT]>,
    target: ProgramArray<MapData>,
    director: Option<ProgramFd>,
}

impl Feed {
    /// Loads it, with small tables for the reference lookups.
    pub fn load() -> Result<Self> {
        Self::sized(8, 8)
    }

    /// Loads it with large tables for the reference lookups: 4 million entries, and 96 MB of cache
    /// lines.
    pub fn for_references() -> Result<Self> {
        Self::sized(LOOKUP_ENTRIES, LINES)
    }

    fn sized(lookup_entries: u32, lines: u32) -> Result<Self> {
        let path = env::var_os("LB_BENCH_OBJECT")
            .context("LB_BENCH_OBJECT is not set: run this as `cargo xtask bench`")?;
        let mut object = EbpfLoader::new()
            .map_max_entries("flows40", lookup_entries)
            .map_max_entries("flows16", lookup_entries)
            .map_max_entries("lines", lines)
            .load_file(&path)
            .with_context(|| format!("load {}", path.display()))?;
        for (_, program) in object.programs_mut() {
            let program: &mut Xdp = program.try_into()?;
            program.load().context("load a program of the feed")?;
        }
        let mut take = |name: &str| {
            let map = object.take_map(name);
            map.with_context(|| format!("the feed has no map {name:?}"))
        };
        Ok(Self {
            plan: take("plan")?.try_into()?,
            leave_by: take("leave_by")?.try_into()?,
            swallowed: take("swallowed")?.try_into()?,
            kept: take("kept")?.try_into()?,
            target: take("target")?.try_into()?,
            director: None,
            object,
        })
    }

    /// Sets the program under test.
    pub fn aim(&mut self, program: &ProgramFd) -> Result<()> {
        self.director = Some(program.try_clone()?);
        Ok(())
    }

    /// Sets the interface that [`Target::Send`] sends to.
    pub fn send_by(&mut self, interface: u32) -> Result<()> {
        Ok(self.leave_by.set(SENT_BY, interface, 0)?)
    }

    /// Sets the interface that the program `redirect` sends to. It is attached to another
    /// interface.
    pub fn turn_to(&mut self, interface: u32) -> Result<()> {
        Ok(self.leave_by.set(TURNED_TO, interface, 0)?)
    }

    /// A program of the feed's object, which the caller attaches.
    pub fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self.object.program(name);
        let program = program.with_context(|| format!("the feed has no program {name:?}"))?;
        Ok(program.try_into()?)
    }

    /// Sets the counter of the program `sink` to zero, and makes it keep the next packet.
    pub fn empty_sink(&mut self) -> Result<()> {
        self.kept.set(0, [0; KEPT], 0)?;
        let zeroes = vec![0; nr_cpus().map_err(|(file, error)| anyhow!("{file}: {error}"))?];
        let zeroes = PerCpuValues::try_from(zeroes).context("a value for each CPU")?;
        Ok(self.swallowed.set(0, zeroes, 0)?)
    }

    /// The number of packets that the program `sink` has swallowed since then, and the beginning of
    /// the first.
    pub fn swallowed(&self) -> Result<(u64, [u8; KEPT])> {
        let count = self.swallowed.get(&0, 0)?.iter().sum();
        Ok((count, self.kept.get(&0, 0)?))
    }

    /// Sets the packets and their target for the next run.
    pub fn prepare(
        &mut self,
        template: &Template,
        target: Target,
        flows: Range<u32>,
    ) -> Result<()> {
        ensure!(flows.start < flows.end, "no flows in {flows:?}");
        let program = match target.program() {
            Some(name) => self.program(name)?.fd()?.try_clone()?,
            None => {
                let director = self.director.as_ref();
                director
                    .context("the feed is aimed at nothing")?
                    .try_clone()?
            }
        };
        self.target.set(0, &program, 0)?;
        Ok(self.plan.set(0, template.plan(&flows), 0)?)
    }

    /// Feeds this many packets to the target, one after the other, on this CPU.
    pub fn run(&mut self, packets: u32) -> Result<Run> {
        self.run_as(packets, TestRunAttrs::new())
    }

    /// As [`run`](Self::run), but packets that are transmitted or redirected are really sent: by
    /// the interface that they seem to have come in by, or by the one that the program names.
    /// `batch` packets (1 to 256) are made before the first of them is sent.
    pub fn run_live(&mut self, packets: u32, batch: u32) -> Result<Run> {
        self.run_as(packets, TestRunAttrs::new().xdp_live_frames(batch))
    }

    fn run_as(&mut self, packets: u32, attrs: TestRunAttrs) -> Result<Run> {
        let mut plan = self.plan.get(&0, 0)?;
        plan.fed = 0;
        plan.packets = packets;
        self.plan.set(0, plan, 0)?;
        let frame = vec![0; plan.length as usize];
        let result = self.program("feed")?.test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: packets,
            attrs,
            ..TestRunOptions::default()
        });
        let action = result.context("run the feed")?.return_value;
        let plan = self.plan.get(&0, 0)?;
        ensure!(
            plan.fed == packets,
            "{} of {packets} packets were fed",
            plan.fed
        );
        let nanoseconds = plan.ended - plan.started;
        Ok(Run {
            action,
            per_packet: nanoseconds as f64 / f64::from(packets.max(2) - 1),
        })
    }
}
