//! Makes a deployment real: one namespace for each machine, and one for the switches.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result};

use crate::{
    capture::Capture,
    client::Client,
    namespace::{Namespace, is_leftover, remove_leftovers, unique_prefix},
    offload,
    process::Process,
    topology::{Host, Program, Speaks, Topology, Vip},
    xdp::{self, Attached, Verdict},
};

/// The directory in which directors pin maps and links. Each instance has a directory of its name
/// in it.
pub const PINS: &str = "/sys/fs/bpf/lb";

/// The tunnel interface of a real server.
pub const TUNNEL: &str = "tun0";

/// A lab that runs. Dropping it ends its processes and removes its namespaces.
#[derive(Debug)]
pub struct Lab {
    // The first field is dropped first: processes end before their namespaces are removed.
    processes: Vec<Process>,
    hosts: BTreeMap<&'static str, Arc<Namespace>>,
    passes: Vec<Attached>,
    switch: Namespace,
    prefix: String,
    /// Number of queues of each interface.
    queues: usize,
}

impl Lab {
    /// Makes the namespaces, connects them, and starts the servers.
    pub fn realise(topology: &Topology) -> Result<Self> {
        remove_what_others_left();
        let prefix = format!("{}-{}", unique_prefix(), topology.name);
        let mut lab = Self {
            processes: Vec::new(),
            hosts: BTreeMap::new(),
            passes: Vec::new(),
            switch: Namespace::create(&format!("{prefix}-switch"))?,
            prefix,
            queues: topology.queues,
        };
        lab.make_networks(topology)?;
        for host in &topology.hosts {
            lab.make_host(host)
                .with_context(|| format!("make the host {}", host.name))?;
        }
        for process in &mut lab.processes {
            process.wait_for_output("ready")?;
        }
        Ok(lab)
    }

    /// What the names of its namespaces begin with. No other lab has the same.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The namespace of the machine with this name.
    pub fn host(&self, name: &str) -> Result<&Arc<Namespace>> {
        self.hosts
            .get(name)
            .with_context(|| format!("the lab has no host {name}"))
    }

    /// All machines, with their names.
    pub fn hosts(&self) -> impl Iterator<Item = (&'static str, &Namespace)> {
        self.hosts.iter().map(|(name, host)| (*name, &**host))
    }

    /// The namespace of the switches. In it, the interface `<host>-1` is the other end of the cable
    /// of the host's `eth1`.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Captures every packet that a machine sends or receives on an interface.
    pub fn capture(&self, host: &str, interface: &str) -> Result<Capture> {
        Capture::start(self.host(host)?, interface)
    }

    /// Captures at the switch's end of an interface's cable. That also shows packets that an XDP
    /// program on the interface handles before the machine's network stack sees them.
    pub fn capture_at_switch(&self, host: &str, interface: &str) -> Result<Capture> {
        let index = interface.trim_start_matches("eth");
        Capture::start(&self.switch, &format!("{host}-{index}"))
    }

    /// A client of a service, on one of the machines.
    pub fn client(&self, host: &str, service: &str) -> Result<Client> {
        let service: SocketAddr = service
            .parse()
            .with_context(|| format!("{service} is no address with a port"))?;
        Ok(Client::new(Arc::clone(self.host(host)?), service))
    }

    /// Starts one more server program, and waits until it serves.
    pub fn serve(&mut self, host: &str, program: &Program) -> Result<()> {
        let mut process = start_program(self.host(host)?, program)?;
        process.wait_for_output("ready")?;
        self.processes.push(process);
        Ok(())
    }

    /// From now on, the other ends of all cables do not take frames that are sent by native XDP:
    /// the driver drops them.
    pub fn refuse_frames_of_xdp(&mut self) {
        self.passes.clear();
    }

    /// Removes an interface of a host and adds a new one with the same name, as when a driver is
    /// loaded again.
    pub fn replug(&mut self, host: &Host, index: usize) -> Result<()> {
        self.unplug(host, index)?;
        self.plug(host, index)
    }

    /// Removes an interface of a host.
    pub fn unplug(&self, host: &Host, index: usize) -> Result<()> {
        self.host(host.name)?
            .ip([format!("link delete eth{index}")])
    }

    /// Adds an interface of a host that was removed.
    pub fn plug(&mut self, host: &Host, index: usize) -> Result<()> {
        let namespace = Arc::clone(self.host(host.name)?);
        self.connect(host, index, &namespace)
    }

    fn make_networks(&self, topology: &Topology) -> Result<()> {
        self.switch
            .sysctls(&[("bridge/bridge-nf-call-iptables", "0")])
            .or_else(|error| {
                // A kernel without the module br_netfilter has no such setting and needs none.
                let missing = error.downcast_ref::<std::io::Error>();
                let missing = missing.is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound);
                if missing { Ok(()) } else { Err(error) }
            })?;
        let links = topology.hosts.iter().flat_map(|host| &host.links);
        let networks: BTreeSet<_> = links.map(|link| link.network).collect();
        self.switch.ip(networks.iter().flat_map(|network| {
            [
                format!("link add {network} type bridge forward_delay 0 mcast_snooping 0"),
                format!("link set {network} up"),
            ]
        }))
    }

    fn make_host(&mut self, host: &Host) -> Result<()> {
        let namespace = Namespace::create(&format!("{}-{}", self.prefix, host.name))?;
        let filter = host.reverse_path_filter.to_string();
        let forwards = u8::from(host.forwards).to_string();
        namespace.sysctls(&[
            ("ipv4/ip_forward", &forwards),
            ("ipv4/conf/default/rp_filter", &filter),
        ])?;
        for index in 0..host.links.len() {
            self.connect(host, index, &namespace)?;
        }
        namespace.ip(host.routes.iter().map(|route| format!("route add {route}")))?;
        match host.vip {
            Some(Vip::Silent(vip)) => hold_silently(&namespace, vip)?,
            Some(Vip::Tunnel(vip)) => self.processes.extend(decapsulate(host, &namespace, vip)?),
            None => {}
        }
        for program in &host.programs {
            self.processes.push(start_program(&namespace, program)?);
        }
        self.hosts.insert(host.name, Arc::new(namespace));
        Ok(())
    }

    fn connect(&mut self, host: &Host, index: usize, namespace: &Namespace) -> Result<()> {
        let link = host.links.get(index).context("no such link")?;
        let (interface, far_end) = (format!("eth{index}"), format!("{}-{index}", host.name));
        let (network, peer) = (link.network, namespace.name());
        // The interface gets its name last. A director that waits for the name attaches at once,
        // and the offloads of a veth pair with an XDP program cannot be changed.
        let unfinished = format!("new{index}");
        // The host's end is made in its namespace from the start: its name need not be free among
        // the switch's.
        let queues = format!("numtxqueues {0} numrxqueues {0}", self.queues);
        self.switch.ip([
            format!(
                "link add {far_end} {queues} type veth peer name {unfinished} netns {peer} {queues}"
            ),
            format!("link set {far_end} master {network} up"),
        ])?;
        offload::disable(&self.switch, &far_end)?;
        offload::disable(namespace, &unfinished)?;
        // A veth end that sends by native XDP needs an XDP program at the other end.
        let passes = xdp::attach(&self.switch, &far_end, Verdict::Pass)?;
        self.passes.push(passes);
        namespace.ip([format!("link set {unfinished} name {interface}")])?;
        let addresses = link.addresses.iter();
        namespace.ip(addresses
            .map(|address| format!("address add {address} dev {interface}"))
            .chain([format!("link set {interface} up")]))
    }
}

fn hold_silently(namespace: &Namespace, vip: &str) -> Result<()> {
    namespace.sysctls(&[
        ("ipv4/conf/all/arp_ignore", "1"),
        ("ipv4/conf/all/arp_announce", "2"),
    ])?;
    namespace.ip([format!("address add {vip}/32 dev lo")])
}

/// Gives a host the end of an IPIP tunnel. Without IPIP in the kernel, a TUN device takes its
/// place, and a process takes the inner packets out.
fn decapsulate(host: &Host, namespace: &Namespace, vip: &str) -> Result<Option<Process>> {
    let own = host.links.first().and_then(|link| link.addresses.first());
    let own = own.context("a tunnel needs an interface below it")?;
    let own = own.split('/').next().unwrap_or(own);
    let device = format!("link add {TUNNEL} type ipip local {own}");
    let kernel = namespace.ip([device]).is_ok();
    if !kernel {
        namespace.ip([format!("tuntap add mode tun name {TUNNEL}")])?;
    }
    namespace.ip([
        format!("address add {vip}/32 dev {TUNNEL}"),
        format!("link set {TUNNEL} up"),
    ])?;
    if kernel {
        return Ok(None);
    }
    let mut command = namespace.command(lab_host()?);
    command.args(["decapsulate", "--tun", TUNNEL]);
    Process::start(&format!("{} decapsulate", namespace.name()), &mut command).map(Some)
}

fn start_program(namespace: &Namespace, program: &Program) -> Result<Process> {
    let protocol = match program.speaks {
        Speaks::Http => "http",
        Speaks::Udp => "udp",
        Speaks::Echo => "echo",
    };
    let mut command = namespace.command(lab_host()?);
    command.args([protocol, "--name", program.name, "--listen", program.listen]);
    let name = format!("{} {protocol} {}", namespace.name(), program.name);
    Process::start(&name, &mut command)
}

/// The program that the hosts run. It is built together with the tests of lb-tests.
fn lab_host() -> Result<PathBuf> {
    let this = std::env::current_exe().context("find the running program")?;
    let directories = this.ancestors().skip(1).take(2);
    let mut candidates = directories.map(|directory| directory.join("lab-host"));
    candidates.find(|path| path.is_file()).with_context(|| {
        let this = this.display();
        format!("no lab-host beside {this}: build it with `cargo build -p lb-tests --bins`")
    })
}

fn remove_what_others_left() {
    remove_leftovers();
    let Ok(pins) = fs::read_dir(PINS) else {
        return; // no director ever ran here
    };
    for pin in pins.flatten() {
        if is_leftover(&pin.file_name().to_string_lossy()) {
            let _ = fs::remove_dir_all(pin.path());
        }
    }
}
