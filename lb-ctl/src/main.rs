//! `lb-ctl`: the command, and the daemon that two of its verbs need.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    sync::Once,
};

use anyhow::{Context, Result};
use lb_api::{Instance, Reply, Request};
use lb_director::{ModeChoice, Observed, Options};
use lb_model::merge::Written;
use lb_verbs::{Detached, Machine, Mode, Start};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    lb_api::observe_by(observe);
    lb_verbs::main(env::args_os(), &ThisMachine)
}

/// Answers what can be read from the kernel while no daemon runs, and says so.
fn observe(instance: &Instance, request: &Request) -> Option<Reply> {
    static SAID: Once = Once::new();
    match lb_director::observe(instance, request) {
        Ok(observed) => {
            let Observed { reply, orphan } = observed?;
            SAID.call_once(|| {
                let elsewhere = match orphan.elsewhere {
                    true => "its packet path belongs to another network namespace; ",
                    false => "",
                };
                let forwarded = match &orphan.interfaces[..] {
                    [] => "its program is attached to no interface, so nothing is forwarded".into(),
                    names => format!("packets of {} are still forwarded", names.join(", ")),
                };
                // Nobody has to read it.
                let _ = writeln!(
                    io::stderr(),
                    "lb-ctl: no daemon of instance `{instance}` is running; {elsewhere}{forwarded}, and this \
                     is read from the kernel"
                );
            });
            Some(reply)
        }
        Err(error) => Some(Reply::failed(format!("{error:#}"))),
    }
}

/// The daemon waits most of the time: one thread is enough.
fn event_loop() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the event loop")
}

/// The packet path in this machine's kernel.
struct ThisMachine;

impl Machine for ThisMachine {
    fn run(&self, start: Start) -> Result<()> {
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
        event_loop()?.block_on(lb_director::run(options, start.written))
    }

    fn check(&self, instance: &Instance, written: &Written) -> Result<Vec<String>> {
        event_loop()?.block_on(lb_director::check(instance, written))
    }

    fn detach(&self, instance: &Instance) -> Result<Option<Detached>> {
        let detached = lb_director::detach(instance)?;
        Ok(detached.map(|orphan| Detached {
            interfaces: orphan.interfaces,
            elsewhere: orphan.elsewhere,
        }))
    }
}
