//! The packet path, seen from above: loading it, adopting one that runs already, and reading
//! and writing its maps. Nothing outside this folder knows what a map looks like.

pub mod attach;
pub mod clock;
pub mod connections;
mod link;
pub mod mapped;
pub mod pins;
pub mod rosters;
pub mod servers;
pub mod services;

use std::{fs, mem::offset_of, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap as BpfHashMap, Map, MapData, PerCpuArray},
    programs::Xdp,
    util::nr_cpus,
};
use aya_log::EbpfLogger;
use lb_common::{
    address_filter,
    connection::{
        Bucket, DEFAULT_TIMEOUTS, Hash, SERVER_INDICES, STATE_UDP, Timeouts, buckets_for, ticks,
    },
    drops::Drop,
    layout::{Constants, Director, LAYOUT, PORTS, Port, Settings},
    server::{Counters, LOAD_BLOCK},
    tcp::TcpState,
};

use self::{
    attach::Mode, connections::Connections, mapped::Mapped, pins::Pins, rosters::Rosters,
    servers::Servers, services::Services,
};
use crate::{desired, object, routing};

/// A running packet path.
pub struct Dataplane {
    ebpf: Ebpf,
    pins: Pins,
    settings: Mapped<Settings>,
    ports: Mapped<Port>,
    drops: PerCpuArray<MapData, u64>,
    /// Services and their servers.
    pub services: Services,
    /// The connection table.
    pub connections: Connections,
    adopted: bool,
}

/// How large to make a packet path that does not exist yet.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Capacity of the connection table.
    pub connections: u32,
    /// Servers that the configuration has.
    pub servers: u32,
    /// Services that the configuration has.
    pub services: u32,
}

const MAPS: [&str; 10] = [
    "connections",
    "servers",
    "loads",
    "counters",
    "services",
    "rosters",
    "retired",
    "settings",
    "drops",
    "logged",
];

impl Dataplane {
    /// Loads the packet path, or adopts the one that this instance left running: its maps are
    /// taken as they are, and its program is replaced by [`attach`](Self::attach).
    pub fn open(instance: &str, size: Size) -> Result<Self> {
        let pins = Pins::of(instance);
        pins.prepare()?;
        let found = adoptable(&pins)?;
        let adopted = found.is_some();
        let settings = match found {
            Some(settings) => settings,
            None => {
                let settings = fresh(size)?;
                check_memory(&settings, cpus()?, available_memory()?)?;
                settings
            }
        };
        let mut ebpf = load(&pins, &settings).inspect_err(|_| {
            if !adopted {
                let _ = pins.remove();
            }
        })?;
        let mut map = |name: &str| {
            ebpf.take_map(name)
                .ok_or_else(|| anyhow!("the eBPF object has no map `{name}`"))
        };
        let parts = Parts::of(&map("settings")?)?;
        let servers = Servers::new(
            Mapped::new("servers", &map("servers")?)?,
            Mapped::blocks::<[u64; LOAD_BLOCK as usize]>("loads", &map("loads")?)?,
            Mapped::new("counters", &map("counters")?)?,
            Mapped::new("retired", &map("retired")?)?,
            parts.addresses,
        );
        let rosters = Rosters::new(Mapped::new("rosters", &map("rosters")?)?);
        let services = BpfHashMap::try_from(map("services")?)?;
        let connections = Mapped::<Bucket>::new("connections", &map("connections")?)?;
        let mut this = Self {
            settings: parts.settings,
            ports: parts.ports,
            drops: PerCpuArray::try_from(map("drops")?)?,
            services: Services::new(services, rosters, servers)?,
            connections: Connections::new(connections),
            pins,
            adopted,
            ebpf,
        };
        if !adopted {
            this.settings.write(0, settings);
        }
        clock::read(program(&mut this.ebpf, "clock")?)?;
        Ok(this)
    }

    /// True where the packet path had been running before.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// What the packet path was made with.
    pub fn settings(&self) -> Settings {
        self.settings.read(0).unwrap_or_default()
    }

    /// The logger that turns what the packet path says into log lines.
    pub fn logger(&mut self) -> Result<EbpfLogger<&'static dyn log::Log>> {
        EbpfLogger::init(&mut self.ebpf).context("cannot read the packet path's log")
    }

    /// Makes the packet path handle an interface's packets.
    pub fn attach(&mut self, name: &str, index: u32, mode: Mode) -> Result<()> {
        let pins = self.pins.clone();
        attach::attach(
            program(&mut self.ebpf, "director")?,
            &pins,
            name,
            index,
            mode,
        )
    }

    /// Stops handling an interface's packets.
    pub fn detach(&self, index: u32) -> Result<()> {
        attach::detach(&self.pins, index)
    }

    /// The interfaces that the packet path handles, by index.
    pub fn attached(&self) -> Result<Vec<u32>> {
        Ok(self.pins.links()?.into_iter().map(|(i, _)| i).collect())
    }

    /// Sets the timeouts of connections, from now on and for those that there are.
    pub fn set_timeouts(&self, timeouts: &desired::Timeouts) {
        let mut settings = self.settings();
        let wanted = timeouts_in_ticks(timeouts, settings.hz);
        if settings.timeouts != wanted {
            settings.timeouts = wanted;
            self.settings.write(0, settings);
        }
    }

    /// Says that routes or neighbours have changed: replies look up their way anew.
    pub fn routes_changed(&self) {
        let mut settings = self.settings();
        settings.route_epoch = settings.route_epoch.wrapping_add(1);
        self.settings.write(0, settings);
    }

    /// Tells the packet path the director's interfaces.
    pub fn set_ports(&self, ports: &[routing::Port]) {
        for place in 0..self.ports.entries() {
            let known = self.ports.read(place).unwrap_or_default();
            if known.interface != 0 && ports.iter().all(|port| port.interface != known.interface) {
                self.ports.write(place, Port::default());
            }
        }
        for port in ports.iter().filter(|port| port.ethernet) {
            let value = Port {
                interface: port.interface,
                mac: port.mac,
                _pad: [0; 6],
            };
            let place = port.interface % PORTS;
            if self.ports.read(place) != Some(value) {
                self.ports.write(place, value);
            }
        }
    }

    /// Packets dropped, by reason.
    pub fn drops(&self) -> Result<Vec<(Drop, u64)>> {
        Drop::ALL
            .into_iter()
            .map(|reason| {
                let counts = self.drops.get(&(reason as u32), 0)?;
                Ok((reason, counts.iter().sum()))
            })
            .collect()
    }

    /// Bytes of kernel memory that the maps take.
    pub fn bytes(&self) -> u64 {
        self.connections.bytes() + self.services.bytes()
    }

    /// Takes away what has expired in the next buckets; see [`Connections::sweep`].
    pub fn sweep(&mut self, buckets: u32) -> (u32, bool) {
        let settings = self.settings();
        self.connections
            .sweep(buckets, &settings, &self.services.servers.loads)
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| anyhow!("the eBPF object has no program `{name}`"))?;
    Ok(program.try_into()?)
}

/// The map `settings`: a [`Director`].
pub struct Parts {
    /// One.
    pub settings: Mapped<Settings>,
    /// The bitmap's words.
    pub addresses: Mapped<u64>,
    /// All places for interfaces.
    pub ports: Mapped<Port>,
}

impl Parts {
    /// Maps it.
    pub fn of(map: &Map) -> Result<Self> {
        let name = "settings";
        Ok(Self {
            settings: Mapped::part::<Director>(name, map, offset_of!(Director, settings), 1)?,
            addresses: Mapped::part::<Director>(
                name,
                map,
                offset_of!(Director, addresses),
                address_filter::WORDS,
            )?,
            ports: Mapped::part::<Director>(name, map, offset_of!(Director, ports), PORTS)?,
        })
    }
}

/// Takes down an instance's packet path: links first, then maps. Gives what was removed.
pub fn take_down(instance: &str) -> Result<Vec<std::path::PathBuf>> {
    Pins::of(instance).remove()
}

/// The settings of the packet path that is pinned, or `None` where there is none. One that was
/// never finished is cleared away.
fn adoptable(pins: &Pins) -> Result<Option<Settings>> {
    let path = pins.map("settings");
    let layout = match path.exists() {
        false => 0,
        true => {
            let map = Map::Array(
                MapData::from_pin(&path)
                    .with_context(|| format!("cannot open the pinned map {}", path.display()))?,
            );
            match Parts::of(&map) {
                Ok(parts) => match parts.settings.read(0).unwrap_or_default() {
                    settings if settings.layout == LAYOUT => return Ok(Some(settings)),
                    settings => settings.layout,
                },
                Err(_) => u32::MAX,
            }
        }
    };
    if layout != 0 {
        bail!(
            "what is pinned at {} has {}, and this lb-ctl speaks layout {LAYOUT}: it cannot adopt \
             it. Forwarding goes on as it is. Use the lb-ctl that made it, or end it with \
             `lb-ctl detach` (its connections are lost) and start again",
            pins.map("").display(),
            if layout == u32::MAX {
                "an unknown layout".to_owned()
            } else {
                format!("layout {layout}")
            }
        );
    }
    pins.remove()?;
    pins.prepare()?;
    Ok(None)
}

fn fresh(size: Size) -> Result<Settings> {
    let mut random = [0; 32];
    let mut source = fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut random).context("cannot read /dev/urandom")?;
    let word = |i: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&random[4 * i..4 * i + 4]);
        u32::from_ne_bytes(bytes)
    };
    let long = |i: usize| u64::from(word(i)) << 32 | u64::from(word(i + 1));
    let hz = clock::hz()?;
    let mut settings = Settings {
        layout: LAYOUT,
        timeouts: DEFAULT_TIMEOUTS.map(|seconds| ticks(seconds, hz)),
        hash: Hash {
            addends: [word(0), word(1), word(2), word(3)],
            multipliers: [long(4) | 1, long(6) | 1],
            buckets: buckets_for(size.connections),
            _pad: 0,
        },
        servers: u32::max(LEAST_SERVERS, 2 * u32::max(size.servers, size.services))
            .next_power_of_two()
            .min(SERVER_INDICES),
        connections: size.connections,
        ..Settings::default()
    };
    settings.set_hz(hz);
    Ok(settings)
}

/// Room for servers and for services, whatever the configuration has.
const LEAST_SERVERS: u32 = 8192;

fn timeouts_in_ticks(timeouts: &desired::Timeouts, hz: u32) -> Timeouts {
    let mut seconds = DEFAULT_TIMEOUTS;
    seconds[TcpState::Established as usize] = timeouts.tcp;
    seconds[TcpState::FinWait as usize] = timeouts.tcpfin;
    seconds[usize::from(STATE_UDP)] = timeouts.udp;
    seconds.map(|seconds| ticks(seconds, hz))
}

fn cpus() -> Result<u32> {
    Ok(nr_cpus().map_err(|(what, error)| anyhow!("cannot count CPUs: {what}: {error}"))? as u32)
}

/// Refuses a table that would push the machine into swapping, or worse.
fn check_memory(settings: &Settings, cpus: u32, available: u64) -> Result<()> {
    let table = u64::from(settings.hash.buckets) * size_of::<Bucket>() as u64;
    let rows = u64::from(settings.servers) * u64::from(cpus);
    let needed = table + rows * size_of::<Counters>() as u64 + u64::from(settings.servers) * 512;
    // A quarter stays for everybody else.
    if needed > available / 4 * 3 {
        bail!(
            "connections: {} takes {} MiB of memory, and of this machine's memory {} MiB are \
             available; ask for fewer (each takes {} bytes)",
            settings.connections,
            needed >> 20,
            available >> 20,
            table / u64::from(settings.connections.max(1))
        );
    }
    Ok(())
}

fn available_memory() -> Result<u64> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).context("cannot read /proc/meminfo")?;
    text.lines()
        .find_map(|line| {
            let rest = line.strip_prefix("MemAvailable:")?.trim();
            rest.strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map(|kib| kib << 10)
        .ok_or_else(|| anyhow!("/proc/meminfo does not say MemAvailable"))
}

fn load(pins: &Pins, settings: &Settings) -> Result<Ebpf> {
    let constants = Constants {
        hash: settings.hash,
        servers: settings.servers,
        _pad: 0,
    };
    let mut loader = EbpfLoader::new();
    loader
        .override_global("CONSTANTS", &constants, true)
        .map_max_entries("connections", settings.hash.buckets)
        .map_max_entries("servers", settings.servers)
        .map_max_entries("loads", settings.servers.div_ceil(LOAD_BLOCK))
        .map_max_entries("counters", settings.servers * cpus()?)
        .map_max_entries("services", settings.servers)
        .map_max_entries("rosters", settings.servers * 4)
        .map_max_entries("retired", settings.servers);
    for name in MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    let mut ebpf = loader.load(object::DIRECTOR).map_err(explain)?;
    // While the object still has its maps, which programs refer to.
    for name in ["director", "clock"] {
        program(&mut ebpf, name)?.load().map_err(|error| {
            anyhow!(error).context(format!(
                "the kernel refuses the XDP program `{name}`; Linux 5.17 or newer is needed, with \
                 CONFIG_BPF_SYSCALL, CONFIG_BPF_JIT and CONFIG_XDP_SOCKETS or its kind",
            ))
        })?;
    }
    Ok(ebpf)
}

fn explain(error: aya::EbpfError) -> anyhow::Error {
    let refused = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .find_map(std::io::Error::raw_os_error);
    match refused {
        Some(libc::EPERM) => {
            anyhow!("not permitted to use BPF; be root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)")
        }
        Some(libc::ENOMEM) => anyhow!(
            "the kernel has no memory for the maps; ask for fewer `connections`, or raise the \
             memory limit of this control group"
        ),
        _ => anyhow!(error).context("cannot load the packet path into the kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_does_not_fit_in_memory_is_refused_before_it_is_made() {
        const GIB: u64 = 1 << 30;
        let size = |connections| Size {
            connections,
            servers: 10,
            services: 1,
        };
        let check = |connections| check_memory(&fresh(size(connections)).unwrap(), 4, GIB);
        assert!(check(1_000_000).is_ok());
        let error = check(20_000_000).unwrap_err().to_string();
        assert!(
            error.contains("connections: 20000000") && error.contains("1024 MiB are available"),
            "{error}"
        );
    }

    #[test]
    fn every_table_has_a_hash_of_its_own() {
        let size = Size {
            connections: 1000,
            servers: 0,
            services: 0,
        };
        let [one, other] = [fresh(size).unwrap().hash, fresh(size).unwrap().hash];
        assert_ne!(one.addends, other.addends);
        assert!(one.multipliers.iter().all(|multiplier| multiplier % 2 == 1));
    }
}
