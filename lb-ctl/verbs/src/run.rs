//! `lb-ctl run`: the daemon.

use std::{io, path::PathBuf};

use clap::Args;
use lb_api::Instance;
use lb_model::{Fault, rules};
use tracing_subscriber::EnvFilter;

use crate::{
    failure::Failure,
    machine::{Machine, Mode, Start},
    text::output::colour_for,
};

/// `lb-ctl run`
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Attach to this interface, too, besides those of the file; can be repeated
    #[arg(long = "interface", value_name = "IF", value_parser = interface)]
    pub interfaces: Vec<String>,
    /// How the XDP program is attached
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,
    /// What to log: a level (error, warn, info, debug, trace), or `part=level,...`
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

impl Run {
    pub fn carry_out(self, instance: Instance, machine: &impl Machine) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            Failure::Wrong(format!(
                "--log {}: {error}: give a level such as info",
                self.log
            ))
        })?;
        let written = lb_config::load(&self.config)?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(colour_for(&io::stderr()))
            .init();
        Ok(machine.run(Start {
            instance,
            config: self.config,
            written,
            interfaces: self.interfaces,
            mode: self.mode,
        })?)
    }
}

fn interface(text: &str) -> Result<String, Fault> {
    rules::interface(text).map(|()| text.to_owned())
}
