//! The program in the kernel, and the maps that it was loaded with.
//!
//! Loading takes longer than most tests run, because the verifier checks the program. So when a
//! test ends, its program is kept, and its maps are emptied for the next test that wants maps of
//! the same size.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues},
    programs::Xdp,
};
use lb_common::{
    layout::{
        Constants, Settings,
        interface::{ClientHop, Interface, Station},
        slot::Bucket,
    },
    schedule::RosterLine,
    server::{Counters, MOST_SERVERS, Server},
    service::{Service, ServiceKey},
    table::places::Hash,
};
use lb_dataplane::raw::{Bpffs, DIRECTOR, Mapped, Parts, Pins, SECTION, Variable, clock};

use super::size::{Size, cpus};

/// The program, and the maps that tests read or write.
pub struct Loaded {
    object: Ebpf,
    pub size: Size,
    pub connections: Array<MapData, Bucket>,
    pub servers: Array<MapData, Server>,
    pub loads: Mapped<u64>,
    pub counters: Array<MapData, Counters>,
    pub services: HashMap<MapData, ServiceKey, Service>,
    pub rosters: Array<MapData, RosterLine>,
    pub addresses: Mapped<u64>,
    pub interfaces: Mapped<Interface>,
    pub settings: Mapped<Settings>,
    pub drops: PerCpuArray<MapData, u64>,
    pub passes: PerCpuArray<MapData, u64>,
    pub own: HashMap<MapData, u32, u8>,
    pub stations: HashMap<MapData, Station, u8>,
    pub hops: HashMap<MapData, ClientHop, u32>,
    logged: Array<MapData, u32>,
    icmp_sent: PerCpuArray<MapData, u64>,
}

/// What tests that have ended left for others.
static SHELF: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());

/// Tables larger than this are not kept.
const MOST_BUCKETS: u32 = 1024;

impl Loaded {
    /// One that an earlier test left, or else loaded now. Those of one size have the same hash
    /// function.
    pub fn of(size: Size, hash: Hash) -> Self {
        let kept = {
            let mut shelf = shelf();
            let place = shelf.iter().position(|kept| kept.size == size);
            place.map(|place| shelf.swap_remove(place))
        };
        kept.unwrap_or_else(|| Self::load(size, hash))
    }

    /// Leaves it to other tests, with empty maps.
    pub fn give_back(mut self) {
        if self.size.buckets <= MOST_BUCKETS && self.wipe().is_ok() {
            shelf().push(self);
        }
    }

    pub fn program(&self) -> &Xdp {
        self.program_of_name("director")
    }

    /// The program that sweeps the connection table.
    pub fn sweep(&self) -> &Xdp {
        self.program_of_name("sweep")
    }

    fn program_of_name(&self, name: &str) -> &Xdp {
        let program = self.object.program(name).expect("it was loaded");
        program.try_into().expect("an XDP program")
    }

    /// Has the program `clock` write the time into the settings.
    pub fn read_clock(&self) {
        clock::read(self.program_of_name("clock")).expect("the time");
    }

    fn load(size: Size, hash: Hash) -> Self {
        let constants = Constants {
            hash,
            servers: size.servers,
            _pad: 0,
        };
        let (process, thread) = (std::process::id(), std::thread::current().id());
        let bpffs = Bpffs::mounted().expect("bpffs");
        let pins = Pins::of(&format!("test-{process}-{thread:?}"), bpffs);
        pins.prepare().expect("a folder for pins");
        let variable = Variable::at(&pins.map("settings"));
        let mut loader = EbpfLoader::new();
        variable.as_ref().expect("a map").give(&mut loader);
        let object = loader
            .override_global("CONSTANTS", &constants, true)
            .map_max_entries("connections", size.buckets)
            .map_max_entries("servers", size.servers)
            .map_max_entries("counters", size.servers * cpus())
            .map_max_entries("services", size.services)
            .map_max_entries("retired", size.services)
            .map_max_entries("rosters", size.roster_lines)
            .load(DIRECTOR);
        pins.remove_maps().expect("a folder that can be removed");
        let mut object = object.expect("the eBPF object");
        for name in ["director", "clock", "sweep"] {
            let program = object.program_mut(name).expect("a program of this name");
            let program: &mut Xdp = program.try_into().expect("an XDP program");
            program.load().expect("the verifier's consent");
        }
        let loads = object.take_map("loads").expect("a map of this name");
        let settings = object.take_map(SECTION).expect("a map of this name");
        let parts = Parts::of(&settings).expect("memory of the map");
        Self {
            size,
            connections: take(&mut object, "connections"),
            servers: take(&mut object, "servers"),
            loads: Mapped::blocks::<[u64; MOST_SERVERS as usize]>("loads", &loads)
                .expect("memory of the map"),
            counters: take(&mut object, "counters"),
            services: take(&mut object, "services"),
            rosters: take(&mut object, "rosters"),
            settings: parts.settings,
            addresses: parts.addresses,
            interfaces: parts.interfaces,
            drops: take(&mut object, "drops"),
            passes: take(&mut object, "passes"),
            own: take(&mut object, "own"),
            stations: take(&mut object, "stations"),
            hops: take(&mut object, "hops"),
            logged: take(&mut object, "logged"),
            icmp_sent: take(&mut object, "icmp_sent"),
            object,
        }
    }

    /// Leaves nothing in any map. Of the 65536 interfaces, a test only has the first few and
    /// what it made itself, which the kernel numbers in a row.
    fn wipe(&mut self) -> Result<(), MapError> {
        const INTERFACES: u32 = 256;
        self.forget()?;
        self.clear_services()?;
        zero(&mut self.servers, u32::MAX)?;
        zero(&mut self.rosters, u32::MAX)?;
        (0..INTERFACES).for_each(|index| self.interfaces.write(index, Interface::default()));
        self.settings.write(0, Settings::default());
        zero(&mut self.logged, u32::MAX)?;
        zero_on_each_cpu(&mut self.drops)?;
        zero_on_each_cpu(&mut self.passes)?;
        empty(&mut self.own)?;
        empty(&mut self.stations)?;
        empty(&mut self.hops)?;
        zero_on_each_cpu(&mut self.icmp_sent)
    }

    /// Leaves no connections, and nothing that was counted for servers.
    pub fn forget(&mut self) -> Result<(), MapError> {
        zero(&mut self.connections, u32::MAX)?;
        (0..self.size.servers).for_each(|server| self.loads.write(server, 0));
        zero(&mut self.counters, u32::MAX)
    }

    /// Leaves no service, and no address that concerns the director.
    pub fn clear_services(&mut self) -> Result<(), MapError> {
        empty(&mut self.services)?;
        (0..self.addresses.entries()).for_each(|word| self.addresses.write(word, 0));
        Ok(())
    }
}

fn shelf() -> MutexGuard<'static, Vec<Loaded>> {
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

fn empty<K: Pod, V: Pod>(map: &mut HashMap<MapData, K, V>) -> Result<(), MapError> {
    let keys: Vec<K> = map.keys().flatten().collect();
    keys.iter().try_for_each(|key| map.remove(key))
}

fn zero<V: Pod + Default>(map: &mut Array<MapData, V>, at_most: u32) -> Result<(), MapError> {
    (0..map.len().min(at_most)).try_for_each(|index| map.set(index, V::default(), 0))
}

fn zero_on_each_cpu(map: &mut PerCpuArray<MapData, u64>) -> Result<(), MapError> {
    for index in 0..map.len() {
        let zeroes = vec![0; cpus() as usize];
        let zeroes = PerCpuValues::try_from(zeroes).expect("a value for each CPU");
        map.set(index, zeroes, 0)?;
    }
    Ok(())
}

fn take<M>(object: &mut Ebpf, name: &str) -> M
where
    M: TryFrom<Map>,
    M::Error: std::fmt::Debug,
{
    let map = object.take_map(name).expect("a map of this name");
    map.try_into().expect("a map of this type")
}
