//! L4: DR. The client is behind a router, and the director is one of its own real servers. The
//! other servers' answers reach the client through the router. They carry the VIP as source
//! address, which the router routes through another interface than they come in by.

use lb_lab::topology::{Host, Topology};

/// The service.
pub const SERVICE: &str = "172.16.10.21:80";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0, eth1]
services:
  - address: 172.16.10.21:80
    scheduler: wrr
    servers:
      - {address: 192.168.100.47, weight: 1}
      - {address: 192.168.100.23, weight: 1}
      - {address: 127.0.0.1, weight: 1}
";

/// The machines; the router has this `rp_filter`.
#[must_use]
pub fn topology(reverse_path_filter: u8) -> Topology {
    let server = |name, address| {
        let server = Host::new(name).on("inside", address);
        let server = server.gateway("192.168.100.32");
        server.holds_silently("172.16.10.21").http("0.0.0.0:80")
    };
    Topology::new(
        "l4",
        [
            Host::new("client").on("outside", "172.16.10.22/24"),
            Host::new("router")
                .reverse_path_filter(reverse_path_filter)
                .on("outside", "172.16.10.23/24")
                .on("inside", "192.168.100.32/24")
                .forwards(),
            Host::new("director")
                .on("outside", "172.16.10.21/24")
                .on("inside", "192.168.100.17/24")
                .http("0.0.0.0:80"),
            server("web47", "192.168.100.47/24"),
            server("web23", "192.168.100.23/24"),
        ],
    )
}
