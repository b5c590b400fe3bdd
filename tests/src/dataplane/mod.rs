//! The data plane on a bench: the XDP program in the real kernel, with maps that a test
//! filled, fed one frame at a time by `BPF_PROG_TEST_RUN`.
//!
//! ```no_run
//! use lb_tests::{dataplane::{Bench, Server, Service, Verdict}, packets::{CLIENT, Packet, SYN}};
//!
//! let mut bench = Bench::new();
//! let web = bench.serve(Service::tcp(80).server(Server::direct(11).weight(2)));
//! let outcome = bench.send(&Packet::tcp(CLIENT, web.address, SYN));
//! assert_eq!(outcome.verdict, Verdict::Transmit);
//! ```
//!
//! Nothing is pinned and nothing attached; all of it is gone with the process. Loading
//! needs root. A fault of the bench itself panics: no test could go on.

mod counts;
mod loaded;
mod services;
mod size;
mod table;

use std::{fs, net::Ipv4Addr};

use aya::{
    Pod, TestRun, TestRunOptions,
    maps::{Array, MapData},
    programs::Xdp,
};
use lb_common::{
    address_filter,
    drops::Drop,
    layout::{
        LAYOUT, Settings,
        interface::{Interface, Station, home},
        slot::BUCKET_SLOTS,
    },
    passes::Pass,
    state::{
        time::ticks,
        timeouts::{DEFAULT_TIMEOUTS, Timeouts},
    },
    table::{places::Hash, sweep::Order},
};
use lb_dataplane::raw::{self, clock};
use nix::sched::{CloneFlags, unshare};

use self::loaded::Loaded;
pub use self::{
    counts::Traffic,
    services::{SERVER_SIDE_ADDRESS, Served, Server, Service, server_address, server_mac},
    size::Size,
    table::{Connection, ReverseEntry, Table},
};
use crate::packets::{DIRECTOR, Packet};

/// The interface that frames come in by unless a test says otherwise: `lo`, the only one in
/// a fresh network namespace.
pub const INGRESS: u32 = 1;
/// Another interface, which need not exist: the program only says that it wants to go there.
pub const ELSEWHERE: u32 = 77;

/// Bytes that the kernel leaves free in front of a frame, for programs that encapsulate.
const HEADROOM: usize = 256;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `XDP_PASS`.
    Pass,
    /// `XDP_TX`.
    Transmit,
    /// `XDP_REDIRECT`. The kernel does not report to which interface.
    Redirect,
    /// `XDP_DROP`, and the one reason that was counted for it.
    Drop(Drop),
    /// `XDP_TX` of an ICMP error: the packet was counted as dropped for this reason.
    Answer(Drop),
}

/// What a packet became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where it goes.
    pub verdict: Verdict,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
}

impl Outcome {
    /// The packet in the frame, all of whose checksums are right.
    #[must_use]
    #[track_caller]
    pub fn packet(&self) -> Packet {
        let packet = Packet::read(&self.frame).expect("a readable frame");
        assert_eq!(packet.frame(), self.frame, "checksums of {packet:#?}");
        packet
    }
}

/// The data plane, with what a test told it.
pub struct Bench {
    /// `None` only while the bench is dropped: then it goes to the next test.
    loaded: Option<Loaded>,
    hash: Hash,
    dropped: [u64; Drop::ALL.len()],
    next_server: u32,
    next_service: u32,
    next_line: u32,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// With small maps, and nothing in them but the interface [`INGRESS`].
    ///
    /// Takes the calling thread to a network namespace of its own, so that the machine's
    /// interfaces, routes and sysctls do not matter.
    #[must_use]
    pub fn new() -> Self {
        Self::sized(Size::default())
    }

    /// With another number of buckets.
    #[must_use]
    pub fn with_buckets(buckets: u32) -> Self {
        Self::sized(Size {
            buckets,
            ..Size::default()
        })
    }

    /// With maps of this size.
    #[must_use]
    pub fn sized(size: Size) -> Self {
        enter_empty_namespace();
        // Fixed, so that a test that fails fails again.
        let hash = Hash {
            addends: [
                0xd6e8_feb8_6659_fd93,
                0xbf58_476d_1ce4_e5b9,
                0xa076_1d64_78bd_642f,
                0xff51_afd7_ed55_8ccd,
            ],
            buckets: size.buckets,
            _pad: 0,
        };
        let mut bench = Self {
            loaded: Some(Loaded::of(size, hash)),
            hash,
            dropped: [0; Drop::ALL.len()],
            next_server: 0,
            next_service: 0,
            next_line: 0,
        };
        let hz = clock::hz().expect("the length of a jiffy");
        let mut settings = Settings {
            layout: LAYOUT,
            timeouts: Timeouts::of(&DEFAULT_TIMEOUTS, hz),
            hash,
            connections: size.buckets * 8 / 3,
            ..Settings::default()
        };
        settings.set_hz(hz);
        bench.maps().settings.write(0, settings);
        bench.maps().read_clock();
        bench.plug(INGRESS, DIRECTOR);
        bench
    }

    /// Sends a packet in by [`INGRESS`].
    pub fn send(&mut self, packet: &Packet) -> Outcome {
        self.send_frame(&packet.frame())
    }

    /// Sends a frame of 14 to about 3500 bytes in by [`INGRESS`].
    pub fn send_frame(&mut self, frame: &[u8]) -> Outcome {
        self.send_by(INGRESS, frame)
    }

    /// Sends a frame in by an interface, which must exist in this thread's network
    /// namespace.
    pub fn send_by(&mut self, interface: u32, frame: &[u8]) -> Outcome {
        let (action, frame) = self.run(interface, frame, 0);
        Outcome {
            verdict: self.verdict(action),
            frame,
        }
    }

    /// Sends a frame in with this much room in front of it taken by a driver's metadata: a
    /// multiple of 4 up to 216 (since Linux 6.8; before that, up to 32).
    pub fn send_behind_metadata(&mut self, metadata: usize, frame: &[u8]) -> Outcome {
        let mut data = vec![0; metadata];
        data.extend_from_slice(frame);
        let (action, mut data) = self.run(INGRESS, &data, metadata);
        Outcome {
            verdict: self.verdict(action),
            frame: data.split_off(metadata),
        }
    }

    /// Sends frames as fast as possible, without a look at what becomes of them; gives the last
    /// action.
    pub fn send_blindly<'a>(&self, frames: impl IntoIterator<Item = &'a [u8]>) -> Option<u32> {
        frames
            .into_iter()
            .map(|frame| self.repeat(frame, 1).0)
            .last()
    }

    /// Hands a frame to the program `times` times, each time as it left it before. Gives the
    /// last action, and the time that one run took on average, in nanoseconds.
    pub fn repeat(&self, frame: &[u8], times: u32) -> (u32, u64) {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: times,
            ..TestRunOptions::default()
        };
        let result = self.program().test_run(options).expect("a test run");
        let nanoseconds = u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX);
        (result.return_value, nanoseconds)
    }

    /// Sweeps the whole table, as the daemon has it done; gives the number of connections ended.
    pub fn sweep(&self) -> u32 {
        let order = Order {
            first: 0,
            slots: self.maps().size.buckets * BUCKET_SLOTS,
            recount: 0,
        };
        raw::sweep(self.maps().sweep(), &order).expect("a run of the program `sweep`")
    }

    /// The frame as the program leaves it, whatever its verdict.
    #[must_use]
    pub fn frame_after(&self, frame: &[u8]) -> Vec<u8> {
        self.run(INGRESS, frame, 0).1
    }

    /// Hands a frame to the program and its outcome to the interfaces: what is redirected
    /// really leaves.
    pub fn send_live(&self, frame: &[u8]) {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: 1,
            attrs: aya::TestRunAttrs::new().xdp_live_frames(1),
            ..TestRunOptions::default()
        };
        self.program().test_run(options).expect("a live test run");
    }

    /// Now, in ticks of the clock that the program reads.
    #[must_use]
    pub fn now(&self) -> u32 {
        clock::now(&self.maps().settings.read(0).unwrap_or_default())
    }

    /// A number of seconds in ticks.
    #[must_use]
    pub fn ticks(&self, seconds: u32) -> u32 {
        let settings = self.maps().settings.read(0).unwrap_or_default();
        ticks(seconds, settings.hz)
    }

    /// Makes an interface one of the director's, with an MTU of 1500 bytes.
    pub fn plug(&mut self, interface: u32, mac: [u8; 6]) {
        self.plug_at(home(interface), interface, mac, 1500);
    }

    /// Makes an interface one of the director's, at this place.
    pub fn plug_at(&mut self, place: u32, interface: u32, mac: [u8; 6], mtu: u16) {
        let value = Interface {
            index: interface,
            mac,
            mtu,
            ..Interface::default()
        };
        self.maps().interfaces.write(place, value);
    }

    /// Lets an interface take frames to another MAC address.
    pub fn take_for(&mut self, interface: u32, mac: [u8; 6]) {
        let station = Station {
            mac,
            interface,
            ..Station::default()
        };
        let stations = &mut self.maps_mut().stations;
        stations.insert(station, 0, 0).expect("room in the map");
    }

    /// The next hops towards clients that the program has noted: interface's index, and address.
    #[must_use]
    pub fn client_hops(&self) -> Vec<(u32, Ipv4Addr)> {
        let hops = self.maps().hops.keys().flatten();
        hops.map(|hop| (hop.interface, Ipv4Addr::from(hop.address.to_ne_bytes())))
            .collect()
    }

    /// Makes an address one that no client can have.
    pub fn own(&mut self, address: Ipv4Addr) {
        let address = u32::from_ne_bytes(address.octets());
        let own = &mut self.maps_mut().own;
        own.insert(address, 0, 0).expect("room in the map");
    }

    /// How many packets to services were left to the stack for this reason.
    #[must_use]
    pub fn passed(&self, reason: Pass) -> u64 {
        let counts = self.maps().passes.get(&(reason as u32), 0);
        counts.expect("a row of the map").iter().sum()
    }

    /// Takes an interface from the director.
    pub fn unplug(&mut self, interface: u32) {
        self.maps()
            .interfaces
            .write(home(interface), Interface::default());
    }

    /// Says that routes or neighbours have changed.
    pub fn routes_changed(&mut self) {
        self.settle(|settings| settings.route_epoch += 1);
    }

    /// Changes the timeouts, in ticks.
    pub fn timeouts(&mut self, change: impl FnOnce(&mut Timeouts)) {
        self.settle(|settings| change(&mut settings.timeouts));
    }

    fn settle(&mut self, change: impl FnOnce(&mut Settings)) {
        let map = &self.maps().settings;
        let mut settings = map.read(0).unwrap_or_default();
        change(&mut settings);
        map.write(0, settings);
    }

    /// Says that an address concerns the director.
    fn notice(&mut self, address: u32) {
        let (word, bit) = address_filter::place(address);
        let marks = &self.maps().addresses;
        marks.write(word, marks.read(word).unwrap_or_default() | bit);
    }

    fn maps(&self) -> &Loaded {
        self.loaded.as_ref().expect(LOADED)
    }

    fn maps_mut(&mut self) -> &mut Loaded {
        self.loaded.as_mut().expect(LOADED)
    }

    /// The program, to be run by other means.
    #[must_use]
    pub fn program(&self) -> &Xdp {
        self.maps().program()
    }

    fn run(&self, interface: u32, data: &[u8], metadata: usize) -> (u32, Vec<u8>) {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index,
        // egress_ifindex.
        let context = [metadata as u32, data.len() as u32, 0, interface, 0, 0];
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut out = vec![0; data.len() + HEADROOM];
        let options = TestRunOptions {
            data_in: Some(data),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = self.program().test_run(options).expect("a test run");
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    /// Every drop has one reason, and what is not dropped has none.
    fn verdict(&mut self, action: u32) -> Verdict {
        let before = self.dropped;
        self.dropped = self.drops();
        let reasons: Vec<Drop> = Drop::ALL
            .iter()
            .flat_map(|&reason| {
                let number = reason as usize;
                (before[number]..self.dropped[number]).map(move |_| reason)
            })
            .collect();
        match (action, &reasons[..]) {
            (1, &[reason]) => Verdict::Drop(reason),
            (2, []) => Verdict::Pass,
            (3, []) => Verdict::Transmit,
            (3, &[reason]) => Verdict::Answer(reason),
            (4, []) => Verdict::Redirect,
            _ => panic!("XDP action {action} with these drops counted: {reasons:?}"),
        }
    }
}

const LOADED: &str = "what is there until the bench is dropped";

impl std::ops::Drop for Bench {
    fn drop(&mut self) {
        if let Some(loaded) = self.loaded.take() {
            loaded.give_back();
        }
    }
}

/// Takes this thread to a network namespace with nothing but `lo`, which forwards nothing.
fn enter_empty_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: this needs root");
    // A new namespace may inherit the machine's own settings. Which namespace's settings
    // these are is decided by the thread that opens the file.
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("the sysctl ip_forward");
}

fn get<V: Pod>(map: &Array<MapData, V>, index: u32) -> V {
    map.get(&index, 0).expect("an entry of the map")
}

fn set<V: Pod>(map: &mut Array<MapData, V>, index: u32, value: V) {
    map.set(index, value, 0).expect("an entry of the map");
}
