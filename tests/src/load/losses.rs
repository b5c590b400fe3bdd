//! Tells whether packets were lost. TCP also sends packets again that were merely late or
//! overtaken. But then the other end reports that it had received them before (DSACK, RFC 2883).

use std::{collections::BTreeMap, fs, os::fd::AsRawFd};

use anyhow::{Context, Result, ensure};
use lb_lab::{lab::Lab, namespace::Namespace};
use nix::errno::Errno;

/// How long a sender waits for an acknowledgement before it sends again, as an option of routes.
/// Longer than any acknowledgement takes on a busy machine.
pub const PATIENT: &str = "rto_min 2s";

/// Keeps a machine's TCP from sending again what is merely late. Without tail loss probes, it sends
/// again only after [`PATIENT`].
pub fn send_again_only_what_is_lost(host: &Namespace) -> Result<()> {
    host.sysctls(&[("ipv4/tcp_early_retrans", "0")])
}

/// Number of segments of open connections that each machine of a lab has sent again because they
/// had not arrived.
pub fn lost(lab: &Lab) -> Result<BTreeMap<&'static str, i64>> {
    lab.hosts()
        .map(|(name, host)| Ok((name, host.inside(lost_here)?)))
        .collect()
}

/// Fails if the client's SYNs, or the servers' answers to them, were lost. Those are sent again
/// after a second, whatever a route says, and no DSACK tells that they were merely late. But who
/// gets one twice sends a challenge (RFC 5961), or the answer again.
pub fn no_handshake_was_lost(lab: &Lab) -> Result<()> {
    let (mut client, mut servers) = ([0; 2], [0; 2]);
    for (name, host) in lab.hosts() {
        let [again, challenges, limited] = host.inside(|| {
            let names = ["TCPSynRetrans", "TCPSYNChallenge", "TCPACKSkippedSynRecv"];
            let [one, two, three] = names.map(|name| counter("netstat", "TcpExt", name));
            Ok([one?, two?, three?])
        })?;
        let side = if name == "client" {
            &mut client
        } else {
            &mut servers
        };
        side[0] += again;
        side[1] += challenges + limited;
    }
    let ([syns, challenged], [answers, by_servers]) = (client, servers);
    ensure!(
        syns <= answers + by_servers,
        "{syns} SYNs were sent again, and came twice {answers} and {by_servers} times"
    );
    ensure!(
        answers <= challenged,
        "{answers} answers to SYNs were sent again, and came twice {challenged} times"
    );
    Ok(())
}

/// The interfaces of a lab that dropped packets, each with the numbers of dropped packets:
/// received, sent.
pub fn dropped(lab: &Lab) -> Result<Vec<String>> {
    let all = lab.hosts().chain([("switch", lab.switch())]);
    let mut found = Vec::new();
    for (name, host) in all {
        let table = host.inside(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
        for row in table.lines().skip(2) {
            let mut fields = row.split_whitespace();
            let interface = fields.next().unwrap_or_default();
            let numbers: Vec<&str> = fields.collect();
            if let (Some(&received), Some(&sent)) = (numbers.get(3), numbers.get(11))
                && (received, sent) != ("0", "0")
            {
                found.push(format!("{name} {interface} {received} {sent}"));
            }
        }
    }
    Ok(found)
}

fn lost_here() -> Result<i64> {
    let sent_again = counter("snmp", "Tcp", "RetransSegs")?;
    let handshakes = counter("netstat", "TcpExt", "TCPSynRetrans")?;
    let needlessly = counter("netstat", "TcpExt", "TCPDSACKRecvSegs")?;
    Ok(sent_again - handshakes - needlessly)
}

fn counter(file: &str, protocol: &str, name: &str) -> Result<i64> {
    // `thread-self`: the namespace of this thread, which may differ from the process's.
    let path = format!("/proc/thread-self/net/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let prefix = format!("{protocol}: ");
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    let (names, values) = (rows.next(), rows.next());
    let (names, values) = (names.unwrap_or_default(), values.unwrap_or_default());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(found, _)| *found == name);
    let (_, value) = found.with_context(|| format!("no {name} in {path}"))?;
    value.parse().with_context(|| format!("{name} in {path}"))
}

/// Number of segments, SYNs included, that this end of a connection has sent again because they had
/// not arrived.
pub fn lost_by(connection: &impl AsRawFd) -> Result<i64> {
    // Offsets in `struct tcp_info` (linux/tcp.h, Linux 4.19), in 32-bit words.
    const TOTAL_RETRANS: usize = 25;
    const DSACK_DUPS: usize = 54;
    let mut info = [0u32; DSACK_DUPS + 1];
    let mut size = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes.
    let result = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    Errno::result(result).context("ask for TCP_INFO")?;
    Ok(i64::from(info[TOTAL_RETRANS]) - i64::from(info[DSACK_DUPS]))
}
