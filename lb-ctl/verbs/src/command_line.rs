//! The command line: all verbs, and what is common to them.

use clap::{Parser, Subcommand};
use lb_api::Instance;

use crate::{
    apply::Apply, check::Check, conns::Conns, ipvsadm::Ipvsadm, run::Run, save::Save,
    server::ServerVerb, service::ServiceVerb, stats::Stats,
};

/// A layer-4 load balancer: Linux Virtual Server, rebuilt on XDP.
#[derive(Debug, Parser)]
#[command(name = "lb-ctl", version, max_term_width = 100)]
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
    Run(Run),
    /// Check a configuration file; changes nothing
    Check(Check),
    /// Apply a configuration file and print the changes made
    Apply(Apply),
    /// Write the live state as a configuration file
    Save(Save),
    /// Add, change, delete and list virtual services
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Add, change, delete and drain real servers
    #[command(subcommand)]
    Server(ServerVerb),
    /// Show connections, packets, bytes and rates of each service and server
    Stats(Stats),
    /// Show the connection table
    Conns(Conns),
    /// Speak ipvsadm's language: every command and option of it may follow
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Ipvsadm(Ipvsadm),
    /// Stop forwarding and remove what is pinned
    Detach,
}

#[cfg(test)]
mod tests;
