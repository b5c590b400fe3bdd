//! The director beside what else forwards packets, in tables: what a reader looks for first.

use serde::Serialize;

use super::{
    figures::figure,
    report::{Report, Row},
};

/// A table: the director beside a peer.
#[derive(Clone, Debug, Serialize)]
pub struct Peer {
    /// The peer's name, as a column's head.
    pub name: &'static str,
    /// What is compared, and how it was measured.
    pub text: &'static str,
    /// The unit of both.
    pub unit: &'static str,
    /// What is forwarded; the peer's figure; the director's; how many times less that is.
    pub lines: Vec<[String; 4]>,
}

/// Which rows are compared.
struct Pairs {
    name: &'static str,
    text: &'static str,
    group: &'static str,
    /// What is forwarded, and the cases of the peer and of the director.
    cases: &'static [(&'static str, &'static str, &'static str)],
}

const ALL: [Pairs; 3] = [
    Pairs {
        name: "IPVS",
        text: "Instructions that one packet takes, in a virtual machine with Debian's kernel, \
               which has IPVS. Sending and receiving are not included.",
        group: "guest",
        cases: &[
            (
                "DR",
                "IPVS DR, net of the sender",
                "lb DR, net of the sender",
            ),
            (
                "NAT, to the server",
                "IPVS NAT in, net of the sender",
                "lb NAT in, net of the sender",
            ),
            (
                "NAT, to the client",
                "IPVS NAT out, net of the sender",
                "lb NAT out, net of the sender",
            ),
            (
                "TUN",
                "IPVS TUN, net of the sender",
                "lb TUN, net of the sender",
            ),
            (
                "DR, every packet a new connection",
                "IPVS DR, every packet a new connection, 200k flows, net of the sender",
                "lb DR, every packet a new connection, 200k flows, net of the sender",
            ),
        ],
    },
    Pairs {
        name: "The kernel's own forwarding",
        text: "Time that one packet takes on this machine, on one CPU, between virtual interfaces: \
               routing beside DR, and nftables' NAT beside ours. Sending and receiving are not \
               included.",
        group: "path",
        cases: &[
            (
                "DR",
                "plain forwarding, net of the sender",
                "lb DR, net of the sender",
            ),
            (
                "NAT, to the server",
                "nftables NAT in, net of the sender",
                "lb NAT in, net of the sender",
            ),
            (
                "NAT, to the client",
                "nftables NAT out, net of the sender",
                "lb NAT out, net of the sender",
            ),
        ],
    },
    Pairs {
        name: "katran",
        text: "Time that the program takes for one packet of a known connection, by the number of \
               flows. katran's figures are projected to this machine, as described below.",
        group: "program",
        cases: &[
            ("DR, 1 flow", "katran, projected, 1 flow", "DR, 1 flow"),
            (
                "DR, 1k flows",
                "katran, projected, 1k flows",
                "DR, 1k flows",
            ),
            (
                "DR, 100k flows",
                "katran, projected, 100k flows",
                "DR, 100k flows",
            ),
            (
                "DR, 1M flows",
                "katran, projected, 1M flows",
                "DR, 1M flows",
            ),
            ("TUN, 1 flow", "katran, projected, 1 flow", "TUN, 1 flow"),
            (
                "TUN, 1k flows",
                "katran, projected, 1k flows",
                "TUN, 1k flows",
            ),
            (
                "TUN, 1M flows",
                "katran, projected, 1M flows",
                "TUN, 1M flows",
            ),
        ],
    },
];

/// A table for each peer that the report has.
pub fn tables(report: &Report) -> Vec<Peer> {
    let tables = ALL.iter().map(|pairs| table(report, pairs));
    tables.filter(|peer| !peer.lines.is_empty()).collect()
}

fn table(report: &Report, pairs: &Pairs) -> Peer {
    let find = |case: &str| {
        let mut rows = report.rows.iter();
        rows.find(|row| row.group == pairs.group && name(row) == case)
    };
    let rows = pairs.cases.iter().filter_map(|(what, peer, ours)| {
        let (peer, ours) = (find(peer)?, find(ours)?);
        Some((what, peer, ours))
    });
    let rows: Vec<_> = rows.collect();
    let line = |(what, peer, ours): &(&&str, &Row, &Row)| {
        [
            (**what).to_owned(),
            figure(peer.unit, peer.median()),
            figure(ours.unit, ours.median()),
            format!("{:.1} ×", peer.median() / ours.median()),
        ]
    };
    Peer {
        name: pairs.name,
        text: pairs.text,
        unit: rows.first().map_or("", |(_, peer, _)| peer.unit.name()),
        lines: rows.iter().map(line).collect(),
    }
}

/// A row's name, without the mark of references.
fn name(row: &Row) -> &str {
    row.case.strip_prefix("reference: ").unwrap_or(&row.case)
}
