//! L1: NAT, wrr. The director is the real servers' gateway.

use lb_lab::topology::{Host, Topology};

/// The service.
pub const SERVICE: &str = "172.16.10.21:80";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0, eth1]
services:
  - address: 172.16.10.21:80
    scheduler: wrr
    forward: nat
    servers:
      - {address: 192.168.100.39, weight: 2}
      - {address: 192.168.100.23, weight: 3}
";

/// The machines.
#[must_use]
pub fn topology() -> Topology {
    let server = |name, address| {
        let server = Host::new(name).on("inside", address);
        server.gateway("192.168.100.17").http("0.0.0.0:80")
    };
    Topology::new(
        "l1",
        [
            Host::new("client").on("outside", "172.16.10.22/24"),
            Host::new("director")
                .on("outside", "172.16.10.21/24")
                .on("inside", "192.168.100.17/24")
                .forwards(),
            server("web39", "192.168.100.39/24"),
            server("web23", "192.168.100.23/24"),
        ],
    )
}
