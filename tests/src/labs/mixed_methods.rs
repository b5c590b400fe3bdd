//! One service with servers of three forwarding methods: DR and NAT in the inner network, TUN
//! behind a router.

use lb_lab::topology::{Host, Topology};

/// The VIP.
pub const VIP: &str = "172.16.10.21";
/// The service.
pub const SERVICE: &str = "172.16.10.21:80";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0, eth1]
services:
  - address: 172.16.10.21:80
    scheduler: rr
    servers:
      - {address: 192.168.100.2, forward: dr}
      - {address: 192.168.100.3:8080, forward: nat}
      - {address: 10.20.0.4, forward: tun}
";

/// The machines.
#[must_use]
pub fn topology() -> Topology {
    Topology::new(
        "mixed",
        [
            Host::new("client").on("outside", "172.16.10.22/24"),
            Host::new("router")
                .on("outside", "172.16.10.23/24")
                .on("inside", "192.168.100.32/24")
                .on("far", "10.20.0.1/24")
                .forwards(),
            Host::new("director")
                .on("outside", "172.16.10.21/24")
                .on("inside", "192.168.100.17/24")
                .forwards()
                .route("10.20.0.0/24", "192.168.100.32"),
            Host::new("direct")
                .on("inside", "192.168.100.2/24")
                .gateway("192.168.100.32")
                .holds_silently(VIP)
                .http("0.0.0.0:80"),
            Host::new("translated")
                .on("inside", "192.168.100.3/24")
                .gateway("192.168.100.17")
                .http("0.0.0.0:8080"),
            Host::new("tunnelled")
                .on("far", "10.20.0.4/24")
                .gateway("10.20.0.1")
                .decapsulates_for(VIP)
                .http("0.0.0.0:80"),
        ],
    )
}
