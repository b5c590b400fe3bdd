//! `lb-ctl run`: the daemon.

use std::io;

use anyhow::Context;
use lb_dataplane::Mode;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::{
    args::{self, Run},
    config,
    director::{self, ModeChoice, RunOptions},
    instance::Instance,
    output,
};

pub fn run(instance: Instance, arguments: Run) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&arguments.log).map_err(|error| {
        Failure::Wrong(format!(
            "--log {}: {error}: give a level such as info",
            arguments.log
        ))
    })?;
    let source = config::read(&arguments.config)?;
    let desired = config::parse(&source.text, &source.name)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output::colour_for(&io::stderr()))
        .init();
    // The daemon waits most of the time: one thread is enough.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the daemon's event loop")?;
    let options = RunOptions {
        instance,
        config: arguments.config,
        checksum: config::checksum(source.text.as_bytes()),
        interfaces: arguments.interfaces,
        mode: match arguments.mode {
            args::Mode::Auto => ModeChoice::Auto,
            args::Mode::Native => ModeChoice::Only(Mode::Native),
            args::Mode::Generic => ModeChoice::Only(Mode::Generic),
        },
    };
    Ok(runtime.block_on(director::run(options, desired))?)
}
