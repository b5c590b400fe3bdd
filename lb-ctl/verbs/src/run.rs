//! `lb-ctl run`: the daemon.

use std::{io, path::PathBuf};

use clap::Args;
use lb_api::Instance;
use lb_model::{Fault, rules};

use crate::{
    failure::Failure,
    log_filter::LogFilter,
    log_writer::Log,
    machine::{Machine, Mode, Start},
    text::output::colour_for,
};

/// `lb-ctl run`
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Also attach to this interface, in addition to those in the file; can be repeated
    #[arg(long = "interface", value_name = "IF", value_parser = interface)]
    pub interfaces: Vec<String>,
    /// How the XDP program is attached
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,
    /// What to log: error, warn, info, debug, trace or off; or PART=LEVEL,... such as
    /// lb_network=debug
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: LogFilter,
}

impl Run {
    pub fn carry_out(self, instance: Instance, machine: &impl Machine) -> Result<(), Failure> {
        let written = lb_config::load(&self.config)?;
        let log = Log::to(io::stderr())?;
        tracing_subscriber::fmt()
            .with_env_filter(self.log.filter())
            .with_writer(log.lines())
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
