//! Whether packets were lost: TCP sends again what was.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};

use crate::{lab::Lab, namespace::Namespace};

/// How long a sender waits for an acknowledgement before it sends again, as an option of routes:
/// longer than any that is merely late on a busy machine takes.
pub const PATIENT: &str = "rto_min 2s";

/// Keeps a machine's TCP from sending again what is merely late: without probes for a lost
/// tail, it does so only after [`PATIENT`].
pub fn send_again_only_what_is_lost(host: &Namespace) -> Result<()> {
    host.sysctls(&[("ipv4/tcp_early_retrans", "0")])
}

/// How many segments each machine of a lab has sent again.
pub fn retransmissions(lab: &Lab) -> Result<BTreeMap<&'static str, u64>> {
    lab.hosts()
        .map(|(name, host)| Ok((name, host.inside(segments_sent_again)?)))
        .collect()
}

/// The interfaces of a lab on which packets were dropped, and how many: received, sent.
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

fn segments_sent_again() -> Result<u64> {
    // The network of this thread, not of the process.
    let path = "/proc/thread-self/net/snmp";
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (rows.next(), rows.next());
    let (names, values) = (names.unwrap_or_default(), values.unwrap_or_default());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(name, _)| *name == "RetransSegs");
    let (_, value) = found.with_context(|| format!("no RetransSegs in {path}"))?;
    value.parse().with_context(|| format!("in {path}"))
}
