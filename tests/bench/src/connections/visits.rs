//! Clients that open a connection, send a request, receive the answer, and close it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lb_lab::{namespace::Namespace, wait::PATIENCE};

use crate::nginx::LARGE;

/// The result of many clients.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Number of connections that were opened, used and closed.
    pub connections: u64,
    /// Connections a second.
    pub rate: f64,
}

/// Runs clients that open connections as fast as they are served: a `wrk` for each address. The
/// number of clients is the sum over all addresses.
pub fn crowd(
    namespace: &Namespace,
    addresses: &[SocketAddrV4],
    clients: u32,
    seconds: u32,
) -> Result<Crowd> {
    let clients = (clients / addresses.len() as u32).max(1).to_string();
    let start = |address| {
        let url = format!("http://{address}/");
        let mut command = namespace.command("wrk");
        command.args(["--threads", "1", "--header", "Connection: close"]);
        command.args(["--connections", &clients]);
        command.args(["--duration", &format!("{seconds}s"), &url]);
        command.stdout(Stdio::piped());
        let child = command.spawn();
        child.context("run `wrk`: is it installed? `cargo xtask bench` sees to it")
    };
    let running: Vec<_> = addresses.iter().map(start).collect();
    let mut crowd = Crowd {
        connections: 0,
        rate: 0.0,
    };
    for child in running {
        let output = child?.wait_with_output().context("wait for `wrk`")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {output:?}");
        let (connections, rate) =
            read(&said).with_context(|| format!("read what wrk said:\n{said}"))?;
        crowd.connections += connections as u64;
        crowd.rate += rate;
    }
    Ok(crowd)
}

/// Reads the number of connections, and of connections a second.
fn read(said: &str) -> Result<(f64, f64)> {
    /// One in this many connections may break: a client may use the ports of a connection that its
    /// server has not forgotten yet.
    const SOUND: f64 = 1000.0;
    ensure!(!said.contains("Non-2xx"), "there were errors");
    let number = |line: &str| line.split_whitespace().next()?.parse::<f64>().ok();
    let connections = said
        .lines()
        .find_map(|line| match line.contains(" requests in ") {
            true => number(line),
            false => None,
        });
    let mut lines = said.lines();
    let rate = lines.find_map(|line| number(line.trim().strip_prefix("Requests/sec:")?));
    let (connections, rate) = connections.zip(rate).context("figures are missing")?;
    let mut lines = said.lines();
    let errors = lines.find_map(|line| line.trim().strip_prefix("Socket errors:"));
    let errors = errors
        .unwrap_or_default()
        .split(|c: char| !c.is_ascii_digit());
    let errors: f64 = errors.filter_map(|count| count.parse::<f64>().ok()).sum();
    ensure!(
        errors * SOUND <= connections.max(SOUND),
        "{errors} of {connections} connections broke"
    );
    Ok((connections, rate))
}

/// One client after the other, to each address in turn. Returns the time of each from its SYN to
/// the end of its answer.
pub fn one_by_one(
    namespace: &Namespace,
    addresses: &[SocketAddrV4],
    clients: u32,
) -> Result<Vec<Duration>> {
    let visit = |address: &SocketAddrV4| {
        visit((*address).into()).with_context(|| format!("visit {address}"))
    };
    let turns = addresses.iter().cycle().take(clients as usize);
    namespace.inside(|| turns.map(visit).collect())
}

fn visit(address: SocketAddr) -> Result<Duration> {
    let mut answer = Vec::new();
    let started = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut answer)?;
    let took = started.elapsed();
    ensure!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "the answer is {:?}",
        String::from_utf8_lossy(&answer)
    );
    Ok(took)
}

/// Downloads `/large` over one connection.
pub fn download(namespace: &Namespace, address: SocketAddrV4) -> Result<()> {
    let length = namespace.inside(|| {
        let mut stream = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n")?;
        let mut buffer = vec![0; 256 << 10];
        let mut length = 0;
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(length),
                read => length += read as u64,
            }
        }
    });
    let length = length.with_context(|| format!("download from {address}"))?;
    ensure!(
        length > LARGE,
        "{length} bytes came from {address}, less than {LARGE} and a header"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn figures_of_wrk_are_read() {
        let said = "Running 2s test @ http://172.16.20.101:80/
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   296.18us  111.70us   4.35ms   92.08%
    Req/Sec    14.36k   819.95    15.35k    76.19%
  29996 requests in 2.10s, 4.46MB read
Requests/sec:  14283.47
Transfer/sec:      2.13MB
";
        assert_eq!(read(said).expect("figures"), (29996.0, 14283.47));
        let broken = |errors| format!("{said}  Socket errors: connect 0, read {errors}, write 0");
        assert!(read(&broken(29)).is_ok());
        assert!(read(&broken(31)).is_err());
    }
}
