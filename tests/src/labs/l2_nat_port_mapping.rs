//! L2: NAT with port mapping: the servers' port differs from the service's port.

use lb_lab::topology::{Host, Topology};

/// The service.
pub const SERVICE: &str = "172.16.100.1:80";
/// The service over UDP.
pub const UDP_SERVICE: &str = "172.16.100.1:53";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0, eth1]
services:
  - address: 172.16.100.1:80
    scheduler: rr
    forward: nat
    servers:
      - {address: 192.168.100.2:8080}
      - {address: 192.168.100.3:8080}
  - address: 172.16.100.1:53
    protocol: udp
    scheduler: rr
    forward: nat
    servers:
      - {address: 192.168.100.2:5353}
      - {address: 192.168.100.3:5353}
";

/// The machines.
#[must_use]
pub fn topology() -> Topology {
    let server = |name, address| {
        let server = Host::new(name).on("inside", address);
        let server = server.gateway("192.168.100.1");
        server.http("0.0.0.0:8080").udp("0.0.0.0:5353")
    };
    Topology::new(
        "l2",
        [
            Host::new("client").on("outside", "172.16.100.22/24"),
            Host::new("director")
                .on("outside", "172.16.100.1/24")
                .on("inside", "192.168.100.1/24")
                .forwards(),
            server("web2", "192.168.100.2/24"),
            server("web3", "192.168.100.3/24"),
        ],
    )
}
