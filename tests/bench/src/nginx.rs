//! nginx as a real server: one process on a machine of a lab.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use lb_lab::{namespace::Namespace, process::Process, wait::wait_until};
use tempfile::TempDir;

/// The length of `/large`, in bytes.
pub const LARGE: u64 = 256 << 20;

/// A server. `/` is one line, `/large` has [`LARGE`] bytes.
#[derive(Debug)]
pub struct Nginx {
    _process: Process,
    _directory: TempDir,
}

impl Nginx {
    /// Starts it, and waits until it serves.
    pub fn start(namespace: &Namespace, ports: &[u16]) -> Result<Self> {
        let directory = TempDir::with_prefix("lb-nginx-")?;
        let path = directory.path();
        // A sparse file: reading it reads no disk.
        File::create(path.join("large"))?.set_len(LARGE)?;
        let file = path.join("nginx.conf");
        fs::write(&file, configuration(path, ports))
            .with_context(|| format!("write {}", file.display()))?;
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(path).arg("-c").arg(&file);
        let mut process = Process::start("nginx", command.args(["-e", "stderr"]))?;
        let last = SocketAddr::from(([127, 0, 0, 1], ports.last().copied().unwrap_or(80)));
        let what = format!("nginx listens in {}", namespace.name());
        wait_until(&what, || {
            if process.ensure_running().is_err() {
                // It has ended: stop waiting.
                return Ok(process.ensure_running());
            }
            let connect = || Ok(TcpStream::connect_timeout(&last, Duration::from_secs(1))?);
            namespace.inside(connect).map(|_| Ok(()))
        })??;
        Ok(Self {
            _process: process,
            _directory: directory,
        })
    }
}

fn configuration(directory: &Path, ports: &[u16]) -> String {
    let directory = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {directory}/{kind};\n"))
        .concat();
    let listen: String = ports
        .iter()
        .map(|port| format!("    listen 0.0.0.0:{port} backlog=4096;\n"))
        .collect();
    format!(
        "daemon off;
master_process off;
pid {directory}/pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
{temporary}  server {{
{listen}    root {directory};
    location = / {{ return 200 'ok\\n'; }}
  }}
}}
"
    )
}
