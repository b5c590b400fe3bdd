//! `lb-ctl`: the command, and the daemon that two of its verbs need.

use std::{env, process::ExitCode};

use anyhow::{Context, Result};
use lb_api::Instance;
use lb_director::{ModeChoice, Options};
use lb_verbs::{Machine, Mode, Start};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    lb_verbs::main(env::args_os(), &ThisMachine)
}

/// The packet path in this machine's kernel.
struct ThisMachine;

impl Machine for ThisMachine {
    fn run(&self, start: Start) -> Result<()> {
        // The daemon waits most of the time: one thread is enough.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the daemon's event loop")?;
        let options = Options {
            instance: start.instance,
            config: start.config,
            interfaces: start.interfaces,
            mode: match start.mode {
                Mode::Auto => ModeChoice::Auto,
                Mode::Native => ModeChoice::Only(lb_dataplane::Mode::Native),
                Mode::Generic => ModeChoice::Only(lb_dataplane::Mode::Generic),
            },
        };
        runtime.block_on(lb_director::run(options, start.written))
    }

    fn detach(&self, instance: &Instance) -> Result<Option<Vec<String>>> {
        lb_director::detach(instance)
    }
}
