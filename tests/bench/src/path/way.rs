//! The ways of forwarding in a lane's director: this project's director, and what it is compared
//! with.

use std::{
    io::Write,
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use lb_lab::{
    offload,
    process::run,
    xdp::{self, Attached},
};
use lb_tests::{
    director::{Director, Mode},
    packets::VIP,
};

use super::lane::{INNER, Lane, OUTER, SERVERS};
use crate::feed::Feed;

/// The port of the service of each kind.
pub mod port {
    /// DR.
    pub const DR: u16 = 8001;
    /// NAT.
    pub const NAT: u16 = 8002;
    /// TUN.
    pub const TUN: u16 = 8003;
    /// NAT, with one server, which all replies come from.
    pub const REPLIES: u16 = 8004;
    /// DR, with packets that each open a connection.
    pub const NEW: u16 = 8005;
}

/// A way of forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// None: incoming packets are counted and dropped.
    Sink,
    /// The smallest possible XDP program.
    Redirect,
    /// The kernel as a router.
    Router,
    /// The kernel with DNAT by nftables.
    Nftables,
    /// The kernel's own load balancer.
    Ipvs,
    /// This project's director.
    Lb,
}

/// A way at work, until it is dropped. The kernel's own ways work as long as their namespace
/// exists.
#[derive(Debug, Default)]
pub struct Working {
    _program: Option<Attached>,
    _director: Option<Director>,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Sink,
        Self::Redirect,
        Self::Router,
        Self::Nftables,
        Self::Ipvs,
        Self::Lb,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sink => "sender alone",
            Self::Redirect => "bare redirect",
            Self::Router => "plain forwarding",
            Self::Nftables => "nftables",
            Self::Ipvs => "IPVS",
            Self::Lb => "lb",
        }
    }

    /// Fails if this machine does not have it, with the reason.
    pub fn is_there(self) -> Result<()> {
        match self {
            Self::Sink | Self::Redirect | Self::Router | Self::Lb => Ok(()),
            Self::Nftables => has(Command::new("nft").args(["list", "tables"])),
            Self::Ipvs => {
                // With many connections, the default of 2^12 buckets is far slower.
                let mut modprobe = Command::new("modprobe");
                if !Path::new("/proc/net/ip_vs").exists() {
                    has(modprobe.args(["ip_vs", "conn_tab_bits=18"]))?;
                }
                has(Command::new("ipvsadm").arg("--list"))
            }
        }
    }

    /// Starts it in a lane.
    pub fn start(self, lane: &Lane, feed: &mut Feed) -> Result<Working> {
        match self {
            Self::Sink => attach(lane, feed, "sink"),
            Self::Redirect => {
                feed.turn_to(lane.index(INNER)?)?;
                attach(lane, feed, "redirect")
            }
            Self::Router => route(lane),
            Self::Nftables => translate_by_nftables(lane),
            Self::Ipvs => balance_by_ipvs(lane),
            Self::Lb => {
                let namespace = Arc::clone(&lane.director);
                let director =
                    Director::start_as(&lane.prefix, Mode::Native, namespace, &configuration())?;
                for interface in [OUTER, INNER] {
                    let mode = director.attached(interface)?;
                    ensure!(mode == Some(Mode::Native), "lb on {interface}: {mode:?}");
                }
                Ok(Working {
                    _director: Some(director),
                    ..Working::default()
                })
            }
        }
    }
}

fn attach(lane: &Lane, feed: &Feed, program: &str) -> Result<Working> {
    let program = feed.program(program)?.fd()?.as_fd();
    Ok(Working {
        _program: Some(xdp::attach_program(&lane.director, OUTER, program)?),
        ..Working::default()
    })
}

fn route(lane: &Lane) -> Result<Working> {
    for interface in [OUTER, INNER] {
        offload::poll(&lane.director, interface)?;
    }
    Ok(Working::default())
}

fn translate_by_nftables(lane: &Lane) -> Result<Working> {
    let [first, second] = SERVERS;
    let rules = format!(
        "table ip lb {{
        chain prerouting {{
            type nat hook prerouting priority dstnat
            ip daddr {VIP} tcp dport {} dnat to numgen inc mod 2 map {{ 0: {first}, 1: {second} }}
            ip daddr {VIP} tcp dport {} dnat to {first}
        }}
        }}\n",
        port::NAT,
        port::REPLIES
    );
    let mut nft = lane.director.command("nft");
    let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    nft.stdin
        .take()
        .context("a pipe to nft")?
        .write_all(rules.as_bytes())?;
    let status = nft.wait()?;
    ensure!(status.success(), "nft -f: {status}, of\n{rules}");
    route(lane)
}

fn balance_by_ipvs(lane: &Lane) -> Result<Working> {
    for (port, method, servers) in services() {
        let ipvsadm = |arguments: &str| {
            let mut command = lane.director.command("ipvsadm");
            has(command.args(arguments.split(' ')))
        };
        ipvsadm(&format!("-A -t {VIP}:{port} -s rr"))?;
        let option = match method {
            "dr" => "-g",
            "nat" => "-m",
            _ => "-i",
        };
        for server in servers {
            ipvsadm(&format!("-a -t {VIP}:{port} -r {server}:{port} {option}"))?;
        }
    }
    route(lane)
}

fn configuration() -> String {
    let mut text = format!("interfaces: [{OUTER}, {INNER}]\nservices:\n");
    for (port, method, servers) in services() {
        text +=
            &format!("- {{address: '{VIP}:{port}', scheduler: rr, forward: {method}, servers: [");
        for server in servers {
            text += &format!("{{address: {server}}}, ");
        }
        text += "]}\n";
    }
    text
}

/// For each service: port, forwarding method, servers.
fn services() -> [(u16, &'static str, &'static [std::net::Ipv4Addr]); 5] {
    [
        (port::DR, "dr", &SERVERS),
        (port::NAT, "nat", &SERVERS),
        (port::TUN, "tun", &SERVERS),
        (port::REPLIES, "nat", &SERVERS[..1]),
        (port::NEW, "dr", &SERVERS),
    ]
}

fn has(command: &mut Command) -> Result<()> {
    let output = run(command)?;
    ensure!(
        output.code == Some(0),
        "{command:?}: {}",
        output.stderr.trim()
    );
    Ok(())
}
