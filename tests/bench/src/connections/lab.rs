//! The lab of this group, and the ways through it.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_lab::topology::{Host, Topology};

/// The group's name in rows.
pub const GROUP: &str = "connections";

/// A way from the client to a server.
pub struct Way {
    /// Its name in rows.
    pub name: &'static str,
    address: Ipv4Addr,
    /// Whether it leads through the director.
    pub balanced: bool,
}

/// The ports of every service. A client has about 32 000 ports for each (`connect` uses every other
/// one). With more services, it takes longer until a port is used again.
pub const PORTS: [u16; 4] = [80, 81, 82, 83];

impl Way {
    /// Its services.
    pub fn addresses(&self) -> [SocketAddrV4; PORTS.len()] {
        PORTS.map(|port| SocketAddrV4::new(self.address, port))
    }
}

/// The baseline comes first. If the kernel has no IPIP, a process takes packets out of TUN's tunnel
/// (see [`Lab`](lb_lab::lab::Lab)), and costs more than everything else.
pub const WAYS: [Way; 4] = [
    Way {
        name: "straight to a server",
        address: Ipv4Addr::new(172, 16, 20, 3),
        balanced: false,
    },
    Way {
        name: "DR",
        address: DIRECT,
        balanced: true,
    },
    Way {
        name: "NAT",
        address: Ipv4Addr::new(172, 16, 20, 102),
        balanced: true,
    },
    Way {
        name: "TUN",
        address: Ipv4Addr::new(172, 16, 20, 103),
        balanced: true,
    },
];
/// The VIP of DR.
pub const DIRECT: Ipv4Addr = Ipv4Addr::new(172, 16, 20, 101);

/// The director's file. Closed connections are forgotten soon. Otherwise a client that uses a port
/// again would continue the old connection instead of opening a new one (as IPVS does with
/// `conn_reuse_mode=1`).
pub fn file(connections: u32) -> String {
    let mut file = format!(
        "interfaces: [eth0, eth1]
connections: {connections}
timeouts: {{tcpfin: 1s}}
services:
"
    );
    let [_, dr, nat, tun] = &WAYS;
    for (way, method, server) in [
        (dr, "dr", "172.16.20.3"),
        (nat, "nat", "192.168.120.4"),
        (tun, "tun", "172.16.20.5"),
    ] {
        for address in way.addresses() {
            file += &format!(
                "  - {{address: '{address}', forward: {method}, servers: [{{address: {server}}}]}}\n"
            );
        }
    }
    file
}

/// The machines.
pub fn topology() -> Topology {
    Topology::new(
        "conns",
        [
            Host::new("client").on("outside", "172.16.20.2/24"),
            Host::new("director")
                .on("outside", "172.16.20.17/24")
                .and("172.16.20.101/32")
                .and("172.16.20.102/32")
                .and("172.16.20.103/32")
                .on("inside", "192.168.120.17/24")
                .forwards(),
            Host::new("direct")
                .on("outside", "172.16.20.3/24")
                .holds_silently("172.16.20.101"),
            Host::new("translated")
                .on("inside", "192.168.120.4/24")
                .gateway("192.168.120.17"),
            Host::new("tunnelled")
                .on("outside", "172.16.20.5/24")
                .decapsulates_for("172.16.20.103"),
        ],
    )
}
