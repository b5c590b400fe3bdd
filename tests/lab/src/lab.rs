//! A deployment, realised: one namespace for each machine, and one with the switches.

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

/// Where directors pin what outlives them, each in a directory named as its instance.
pub const PINS: &str = "/sys/fs/bpf/lb";

/// The interface of a real server's tunnel.
pub const TUNNEL: &str = "tun0";

/// A lab that runs. Dropping it ends its processes and removes its namespaces.
#[derive(Debug)]
pub struct Lab {
    // Processes end before the namespaces that they run in are removed.
    processes: Vec<Process>,
    hosts: BTreeMap<&'static str, Arc<Namespace>>,
    passes: Vec<Attached>,
    switch: Namespace,
    prefix: String,
    /// Of each interface.
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

    /// What the names of its namespaces begin with: nobody else's do.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The namespace of a machine.
    pub fn host(&self, name: &str) -> Result<&Arc<Namespace>> {
        self.hosts
            .get(name)
            .with_context(|| format!("the lab has no host {name}"))
    }

    /// All machines, by name.
    pub fn hosts(&self) -> impl Iterator<Item = (&'static str, &Namespace)> {
        self.hosts.iter().map(|(name, host)| (*name, &**host))
    }

    /// The namespace of the switches. In it, the port that leads to `eth1` of a host is
    /// called `<host>-1`.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Sees every packet that a machine sends or receives on an interface.
    pub fn capture(&self, host: &str, interface: &str) -> Result<Capture> {
        Capture::start(self.host(host)?, interface)
    }

    /// Sees what crosses the switch's port that a machine's interface is plugged into:
    /// also what an XDP program on the interface takes before the machine sees it.
    pub fn capture_port(&self, host: &str, interface: &str) -> Result<Capture> {
        let index = interface.trim_start_matches("eth");
        Capture::start(&self.switch, &format!("{host}-{index}"))
    }

    /// A client on one of the machines, for a service.
    pub fn client(&self, host: &str, service: &str) -> Result<Client> {
        let service: SocketAddr = service
            .parse()
            .with_context(|| format!("{service} is no address with a port"))?;
        Ok(Client::new(Arc::clone(self.host(host)?), service))
    }

    /// Starts one more server program; it serves when this returns.
    pub fn serve(&mut self, host: &str, program: &Program) -> Result<()> {
        let mut process = start_program(self.host(host)?, program)?;
        process.wait_for_output("ready")?;
        self.processes.push(process);
        Ok(())
    }

    /// Takes an interface of a host away, and gives it another one of the same name, as when a
    /// driver is loaded anew.
    pub fn replug(&mut self, host: &Host, index: usize) -> Result<()> {
        let namespace = Arc::clone(self.host(host.name)?);
        namespace.ip([format!("link delete eth{index}")])?;
        self.connect(host, index, &namespace)
    }

    fn make_networks(&self, topology: &Topology) -> Result<()> {
        self.switch
            .sysctls(&[("bridge/bridge-nf-call-iptables", "0")])
            .or_else(|error| {
                // Kernels without br_netfilter have no such setting, and need none.
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
        let (interface, port) = (format!("eth{index}"), format!("{}-{index}", host.name));
        let (network, peer) = (link.network, namespace.name());
        // Under another name until it is ready: a director that waits for it attaches at once, and
        // the offloads of a pair with an XDP program cannot be changed.
        let unfinished = format!("new{index}");
        // The host's end first: so it does not depend on what names the switch has taken.
        let queues = format!("numtxqueues {0} numrxqueues {0}", self.queues);
        self.switch.ip([
            format!(
                "link add {port} {queues} type veth peer name {unfinished} netns {peer} {queues}"
            ),
            format!("link set {port} master {network} up"),
        ])?;
        offload::disable(&self.switch, &port)?;
        offload::disable(namespace, &unfinished)?;
        // Lets the host send by native XDP.
        let passes = xdp::attach(&self.switch, &port, Verdict::Pass)?;
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

/// Gives a host the end of an IPIP tunnel: the kernel's where it has one, or else a TUN
/// device with a process that takes the inner packets out.
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

/// The program of the lab's hosts, built along with this library's tests and binaries.
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
