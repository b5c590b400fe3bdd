//! L5: DR, rr, three machines.

use lb_lab::topology::{Host, Topology};

/// The VIP.
pub const VIP: &str = "192.168.160.100";
/// The service.
pub const SERVICE: &str = "192.168.160.100:80";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0]
services:
  - address: 192.168.160.100:80
    scheduler: rr
    servers:
      - {address: 192.168.160.135}
      - {address: 192.168.160.136}
";

/// The machines.
#[must_use]
pub fn topology() -> Topology {
    let server = |name, address| {
        let server = Host::new(name).on("lan", address);
        server.holds_silently(VIP).http("0.0.0.0:80")
    };
    Topology::new(
        "l5",
        [
            Host::new("client").on("lan", "192.168.160.1/24"),
            Host::new("director")
                .on("lan", "192.168.160.134/24")
                .and("192.168.160.100/24"),
            server("web135", "192.168.160.135/24"),
            server("web136", "192.168.160.136/24"),
        ],
    )
}
