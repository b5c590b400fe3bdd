//! L8: DR, rr, to two nginx. These serve static pages themselves, and pass other requests to three
//! application servers.

use lb_lab::topology::{Host, Speaks, Topology};

/// The service.
pub const SERVICE: &str = "192.168.73.15:80";

/// The director's configuration.
pub const CONFIGURATION: &str = "
interfaces: [eth0]
services:
  - name: site
    address: 192.168.73.15:80
    scheduler: rr
    servers:
      - {address: 192.168.73.110}
      - {address: 192.168.73.120}
";

/// nginx's configuration. nginx runs in a directory of its own, with its pages in `html`.
pub const NGINX: &str = r#"
daemon off;
master_process off;
error_log stderr;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream applications {
        server 192.168.73.100:8001;
        server 192.168.73.100:8002;
        server 192.168.73.100:8003;
    }
    server {
        listen 80;
        root html;
        location /dynamic/ { proxy_pass http://applications/; }
    }
}
"#;

/// The machines. The test starts nginx on `nginx110` and `nginx120`.
#[must_use]
pub fn topology() -> Topology {
    let front = |name, address| {
        let front = Host::new(name).on("lan", address);
        front.holds_silently("192.168.73.15")
    };
    Topology::new(
        "l8",
        [
            Host::new("client").on("lan", "192.168.73.1/24"),
            Host::new("director")
                .on("lan", "192.168.73.14/24")
                .and("192.168.73.15/32"),
            front("nginx110", "192.168.73.110/24"),
            front("nginx120", "192.168.73.120/24"),
            Host::new("apps")
                .on("lan", "192.168.73.100/24")
                .serves(Speaks::Http, "app1", "0.0.0.0:8001")
                .serves(Speaks::Http, "app2", "0.0.0.0:8002")
                .serves(Speaks::Http, "app3", "0.0.0.0:8003"),
        ],
    )
}
