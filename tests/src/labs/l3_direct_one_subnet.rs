//! L3: DR, all machines in one subnet. The real servers hold the VIP but do not answer ARP for it.

use lb_lab::topology::{Host, Topology};

/// The VIP.
pub const VIP: &str = "192.168.100.11";
/// The service.
pub const SERVICE: &str = "192.168.100.11:80";
/// The service over UDP.
pub const UDP_SERVICE: &str = "192.168.100.11:53";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0]
services:
  - address: 192.168.100.11:80
    scheduler: wrr
    servers:
      - {address: 192.168.100.47, weight: 2}
      - {address: 192.168.100.23, weight: 1}
  - address: 192.168.100.11:53
    protocol: udp
    scheduler: wrr
    servers:
      - {address: 192.168.100.47, weight: 2}
      - {address: 192.168.100.23, weight: 1}
";

/// The machines.
#[must_use]
pub fn topology() -> Topology {
    Topology::new(
        "l3",
        [
            Host::new("client").on("lan", "192.168.100.46/24"),
            Host::new("director")
                .on("lan", "192.168.100.17/24")
                .and("192.168.100.11/32"),
            server("web47", "192.168.100.47/24"),
            server("web23", "192.168.100.23/24"),
        ],
    )
}

/// A real server of this lab's services.
#[must_use]
pub fn server(name: &'static str, address: &'static str) -> Host {
    let server = Host::new(name).on("lan", address).holds_silently(VIP);
    server.http("0.0.0.0:80").udp(UDP_SERVICE)
}
