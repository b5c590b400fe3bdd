//! L7: TUN. The real servers are in another network and answer the client directly.

use lb_lab::topology::{Host, Topology};

/// The service.
pub const SERVICE: &str = "192.168.100.11:80";
/// The service over UDP.
pub const UDP_SERVICE: &str = "192.168.100.11:53";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0]
services:
  - address: 192.168.100.11:80
    forward: tun
    servers:
      - {address: 10.20.0.2}
      - {address: 10.20.0.3}
  - address: 192.168.100.11:53
    protocol: udp
    forward: tun
    servers:
      - {address: 10.20.0.2}
      - {address: 10.20.0.3}
";

/// The machines.
#[must_use]
pub fn topology() -> Topology {
    let server = |name, address| {
        let server = Host::new(name).on("far", address).gateway("10.20.0.1");
        let server = server.decapsulates_for("192.168.100.11");
        server.http("0.0.0.0:80").udp(UDP_SERVICE)
    };
    Topology::new(
        "l7",
        [
            Host::new("client")
                .on("outside", "172.16.10.22/24")
                .gateway("172.16.10.1"),
            Host::new("router")
                .on("outside", "172.16.10.1/24")
                .on("near", "192.168.100.1/24")
                .on("far", "10.20.0.1/24")
                .forwards(),
            Host::new("director")
                .on("near", "192.168.100.17/24")
                .and("192.168.100.11/32")
                .gateway("192.168.100.1"),
            server("web2", "10.20.0.2/24"),
            server("web3", "10.20.0.3/24"),
        ],
    )
}
