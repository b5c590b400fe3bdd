//! Describes a deployment as plain values: machines, their networks, and how each machine was
//! prepared for its role. Addresses are text, as `ip` takes them.

/// A deployment.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Its name. It is part of the namespaces' names, so it must be short.
    pub name: &'static str,
    /// The machines, including the director.
    pub hosts: Vec<Host>,
    /// Number of queues of each interface.
    pub queues: usize,
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name: at most 12 bytes.
    pub name: &'static str,
    /// Its interfaces, in the order `eth0`, `eth1`, …
    pub links: Vec<Link>,
    /// Routes, as `ip route add` takes them.
    pub routes: Vec<String>,
    /// Whether it forwards packets.
    pub forwards: bool,
    /// `rp_filter` of all its interfaces.
    pub reverse_path_filter: u8,
    /// How it holds the VIP, if it is a real server that receives packets for the VIP.
    pub vip: Option<Vip>,
    /// The server programs that it runs.
    pub programs: Vec<Program>,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// The network that it is on. A network exists as soon as an interface names it.
    pub network: &'static str,
    /// With prefix lengths. The first is the machine's main address.
    pub addresses: Vec<&'static str>,
}

/// How a real server holds the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vip {
    /// On `lo`, without ARP answers or ARP requests for it. For DR.
    Silent(&'static str),
    /// On a tunnel interface, which takes packets out of their IPIP packets. For TUN.
    Tunnel(&'static str),
}

/// A server program.
#[derive(Clone, Debug)]
pub struct Program {
    /// The protocol it speaks.
    pub speaks: Speaks,
    /// The name that it gives in its answers.
    pub name: &'static str,
    /// The address and port that it listens on.
    pub listen: &'static str,
}

/// Protocols of server programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 over TCP.
    Http,
    /// An echo over UDP.
    Udp,
    /// An echo over TCP. It begins with a line that holds the server's name.
    Echo,
}

impl Topology {
    /// A deployment of these machines.
    #[must_use]
    pub fn new(name: &'static str, hosts: impl Into<Vec<Host>>) -> Self {
        let hosts = hosts.into();
        let queues = 1;
        Self {
            name,
            hosts,
            queues,
        }
    }

    /// Sets the number of queues of each interface. A queue holds 256 frames. While a busy machine
    /// does other work, thousands of clients fill one queue, and further frames are lost.
    #[must_use]
    pub fn queues(mut self, queues: usize) -> Self {
        self.queues = queues;
        self
    }
}

impl Host {
    /// A machine without interfaces.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            links: Vec::new(),
            routes: Vec::new(),
            forwards: false,
            reverse_path_filter: 0,
            vip: None,
            programs: Vec::new(),
        }
    }

    /// Adds an interface.
    #[must_use]
    pub fn on(mut self, network: &'static str, address: &'static str) -> Self {
        self.links.push(Link {
            network,
            addresses: vec![address],
        });
        self
    }

    /// Adds an address to the interface that was added last.
    #[must_use]
    pub fn and(mut self, address: &'static str) -> Self {
        if let Some(link) = self.links.last_mut() {
            link.addresses.push(address);
        }
        self
    }

    /// Makes it forward packets, as routers and directors of NAT do.
    #[must_use]
    pub fn forwards(mut self) -> Self {
        self.forwards = true;
        self
    }

    /// Sets the default gateway.
    #[must_use]
    pub fn gateway(self, address: &'static str) -> Self {
        self.route("default", address)
    }

    /// Adds a route to a network.
    #[must_use]
    pub fn route(mut self, network: &'static str, via: &'static str) -> Self {
        self.routes.push(format!("{network} via {via}"));
        self
    }

    /// Sets `rp_filter`. 1 drops packets whose source address is not routed back through the same
    /// interface; 2 only those whose source address is not routed at all.
    #[must_use]
    pub fn reverse_path_filter(mut self, filter: u8) -> Self {
        self.reverse_path_filter = filter;
        self
    }

    /// Makes it a real server of a DR service.
    #[must_use]
    pub fn holds_silently(mut self, vip: &'static str) -> Self {
        self.vip = Some(Vip::Silent(vip));
        self
    }

    /// Makes it a real server of a TUN service.
    #[must_use]
    pub fn decapsulates_for(mut self, vip: &'static str) -> Self {
        self.vip = Some(Vip::Tunnel(vip));
        self
    }

    /// Runs an HTTP server with the machine's name.
    #[must_use]
    pub fn http(self, listen: &'static str) -> Self {
        let name = self.name;
        self.serves(Speaks::Http, name, listen)
    }

    /// Runs a UDP echo with the machine's name. It answers from the address that it listens on,
    /// which for DR and TUN must be the VIP.
    #[must_use]
    pub fn udp(self, listen: &'static str) -> Self {
        let name = self.name;
        self.serves(Speaks::Udp, name, listen)
    }

    /// Runs a TCP echo with the machine's name.
    #[must_use]
    pub fn echo(self, listen: &'static str) -> Self {
        let name = self.name;
        self.serves(Speaks::Echo, name, listen)
    }

    /// Runs a server program.
    #[must_use]
    pub fn serves(mut self, speaks: Speaks, name: &'static str, listen: &'static str) -> Self {
        self.programs.push(Program {
            speaks,
            name,
            listen,
        });
        self
    }
}
