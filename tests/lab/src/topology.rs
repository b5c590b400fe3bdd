//! What a deployment looks like, as plain values: machines, the networks they are on, and
//! how each was prepared for its role. Addresses are text, as they are given to `ip`.

/// A deployment.
#[derive(Clone, Debug)]
pub struct Topology {
    /// What it is called; short, for it is part of the namespaces' names.
    pub name: &'static str,
    /// The machines, the director among them.
    pub hosts: Vec<Host>,
    /// How many queues each interface has.
    pub queues: usize,
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name: at most 12 bytes.
    pub name: &'static str,
    /// Its interfaces `eth0`, `eth1`, … in this order.
    pub links: Vec<Link>,
    /// Routes, as `ip route add` takes them.
    pub routes: Vec<String>,
    /// Whether it forwards packets.
    pub forwards: bool,
    /// `rp_filter` of all its interfaces.
    pub reverse_path_filter: u8,
    /// The VIP, where it is a real server that receives packets for the VIP.
    pub vip: Option<Vip>,
    /// What it serves.
    pub programs: Vec<Program>,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// The network that it is on. Networks exist by being named.
    pub network: &'static str,
    /// With prefix lengths. The first is the machine's own address.
    pub addresses: Vec<&'static str>,
}

/// How a real server holds the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vip {
    /// On `lo`, and silent about it: no ARP answer, no ARP request from it. For DR.
    Silent(&'static str),
    /// On a tunnel's end, which takes packets out of their IPIP packet. For TUN.
    Tunnel(&'static str),
}

/// A server program.
#[derive(Clone, Debug)]
pub struct Program {
    /// The protocol it speaks.
    pub speaks: Speaks,
    /// What it calls itself in its answers.
    pub name: &'static str,
    /// Address and port.
    pub listen: &'static str,
}

/// Protocols of server programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 over TCP.
    Http,
    /// An echo over UDP.
    Udp,
    /// An echo over TCP, after a line with the server's name.
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

    /// With so many queues on each interface. One holds 256 frames, which thousands of clients
    /// fill while a busy machine does something else; what comes then is lost.
    #[must_use]
    pub fn queues(mut self, queues: usize) -> Self {
        self.queues = queues;
        self
    }
}

impl Host {
    /// A machine that is on no network yet.
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

    /// One more interface.
    #[must_use]
    pub fn on(mut self, network: &'static str, address: &'static str) -> Self {
        self.links.push(Link {
            network,
            addresses: vec![address],
        });
        self
    }

    /// One more address on the interface that was added last.
    #[must_use]
    pub fn and(mut self, address: &'static str) -> Self {
        if let Some(link) = self.links.last_mut() {
            link.addresses.push(address);
        }
        self
    }

    /// Forwards packets, as routers and the directors of NAT do.
    #[must_use]
    pub fn forwards(mut self) -> Self {
        self.forwards = true;
        self
    }

    /// Where packets go that are not for its own networks.
    #[must_use]
    pub fn gateway(self, address: &'static str) -> Self {
        self.route("default", address)
    }

    /// Where packets for a network go.
    #[must_use]
    pub fn route(mut self, network: &'static str, via: &'static str) -> Self {
        self.routes.push(format!("{network} via {via}"));
        self
    }

    /// Drops packets whose source address it would not route back (1), not at all (2:
    /// only those that no interface leads to).
    #[must_use]
    pub fn reverse_path_filter(mut self, filter: u8) -> Self {
        self.reverse_path_filter = filter;
        self
    }

    /// A real server of a DR service.
    #[must_use]
    pub fn holds_silently(mut self, vip: &'static str) -> Self {
        self.vip = Some(Vip::Silent(vip));
        self
    }

    /// A real server of a TUN service.
    #[must_use]
    pub fn decapsulates_for(mut self, vip: &'static str) -> Self {
        self.vip = Some(Vip::Tunnel(vip));
        self
    }

    /// Runs an HTTP server that goes by the machine's name.
    #[must_use]
    pub fn http(self, listen: &'static str) -> Self {
        let name = self.name;
        self.serves(Speaks::Http, name, listen)
    }

    /// Runs a UDP echo that goes by the machine's name. It answers from the address that
    /// it listens on: for DR and TUN that has to be the VIP.
    #[must_use]
    pub fn udp(self, listen: &'static str) -> Self {
        let name = self.name;
        self.serves(Speaks::Udp, name, listen)
    }

    /// Runs a TCP echo that goes by the machine's name.
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
