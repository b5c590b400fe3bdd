//! The command line: all verbs, and what is common to them.

use clap::{Parser, Subcommand};
use lb_api::Instance;

use crate::{
    apply::Apply, check::Check, conns::Conns, ipvsadm::Ipvsadm, run::Run, save::Save,
    server::ServerVerb, service::ServiceVerb, stats::Stats,
};

/// A layer-4 load balancer: Linux Virtual Server, rebuilt on XDP.
#[derive(Debug, Parser)]
#[command(
    name = "lb-ctl",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  lb-ctl run --config /etc/lb.yaml                     the daemon, in the foreground
  lb-ctl stats --watch                                 traffic, every second
  lb-ctl server add tcp/192.0.2.10:80 192.0.2.23       one more server
  lb-ctl server drain tcp/192.0.2.10:80 192.0.2.21     send it no new connections
  lb-ctl ipvsadm -Ln                                   as ipvsadm shows it
`lb-ctl VERB --help` has examples of each verb."
)]
pub struct CommandLine {
    /// Which director, if there are several on one machine
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "LB_INSTANCE",
        default_value = "default"
    )]
    pub instance: Instance,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the daemon in the foreground
    #[command(after_help = "\
Examples:
  lb-ctl run --config /etc/lb.yaml
  lb-ctl run --config /etc/lb.yaml --interface eth1 --mode generic
  lb-ctl run --config /etc/lb.yaml --log lb_network=debug

SIGHUP makes it read the file again; SIGTERM ends it, and forwarding continues.")]
    Run(Run),
    /// Check a configuration file; changes nothing
    #[command(after_help = "\
Examples:
  lb-ctl check /etc/lb.yaml
  generate-config | lb-ctl check -")]
    Check(Check),
    /// Apply a configuration file and print the changes made
    #[command(after_help = "\
Examples:
  lb-ctl apply --dry-run /etc/lb.yaml
  lb-ctl apply /etc/lb.yaml")]
    Apply(Apply),
    /// Write the live state as a configuration file
    #[command(after_help = "\
Examples:
  lb-ctl save                                  to standard output
  lb-ctl save /etc/lb.yaml
  lb-ctl save --force /etc/lb.yaml             also if comments are lost; the old file is
                                               kept as /etc/lb.yaml.bak")]
    Save(Save),
    /// Add, change, delete and list virtual services
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Add, change, delete and drain real servers
    #[command(subcommand)]
    Server(ServerVerb),
    /// Show connections, packets, bytes and rates of each service and server
    #[command(after_help = "\
Examples:
  lb-ctl stats
  lb-ctl stats --watch --interval 5
  lb-ctl stats --json | jq .drops")]
    Stats(Stats),
    /// Show the connection table
    #[command(after_help = "\
Examples:
  lb-ctl conns --service tcp/192.0.2.10:80
  lb-ctl conns --server 192.0.2.21 --state ESTABLISHED
  lb-ctl conns --client 198.51.100.7 --json")]
    Conns(Conns),
    /// Accept every command and option of ipvsadm
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Ipvsadm(Ipvsadm),
    /// Stop forwarding: end the daemon and remove the XDP program from all interfaces
    #[command(after_help = "\
Connections through the director end. Live edits that were not saved are lost:
`lb-ctl save FILE` keeps them.

Examples:
  lb-ctl detach
  lb-ctl --instance web detach")]
    Detach,
}

#[cfg(test)]
mod tests;
