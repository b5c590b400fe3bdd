//! `lb-ctl detach`: stops forwarding, whether a daemon runs or not.

use std::io::Write;

use lb_api::{CallError, ENDING, Instance, Reply, Request};

use crate::{
    ask::{accept, out_of_place},
    failure::Failure,
    machine::{Detached, Machine},
    text::output::Output,
};

pub fn carry_out(
    instance: &Instance,
    machine: &impl Machine,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    match lb_api::call_daemon(instance, &Request::Stats) {
        Ok(Reply::Stats(stats)) => {
            // Also those that nobody named; not those that are missing.
            let attached = stats.interfaces.into_iter().filter(|it| it.attached);
            let attached: Vec<_> = attached.map(|it| it.name).collect();
            writeln!(
                output,
                "instance `{instance}`: ending the daemon and removing the XDP program from {}",
                listed(&attached)
            )?;
            // Before it is done, as long as it may take.
            output.flush()?;
        }
        Err(CallError::NoDaemon { .. }) => return without_daemon(instance, machine, output),
        // One that hangs keeps the packet path: it has to be ended first.
        Err(error @ CallError::NoAnswer { .. }) if lb_api::running(instance).is_some() => {
            return Err(error.into());
        }
        Ok(_) | Err(_) => {}
    }
    match lb_api::call_daemon(instance, &Request::Detach) {
        Ok(Reply::Done) => {
            writeln!(output, "forwarding has stopped")?;
            Ok(())
        }
        // It has ended meanwhile.
        Err(CallError::NoDaemon { .. } | CallError::NoAnswer { .. }) => {
            without_daemon(instance, machine, output)
        }
        Ok(Reply::Error { message, .. }) if message == ENDING => {
            without_daemon(instance, machine, output)
        }
        reply => accept(reply?).and_then(|_| Err(out_of_place())),
    }
}

fn without_daemon(
    instance: &Instance,
    machine: &impl Machine,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    match machine.detach(instance)? {
        None => writeln!(
            output,
            "nothing to do: instance `{instance}` has no daemon and no XDP program"
        )?,
        Some(Detached {
            interfaces,
            elsewhere,
        }) => {
            let belonged = match elsewhere {
                true => ", and its packet path belonged to another network namespace",
                false => "",
            };
            writeln!(
                output,
                "instance `{instance}` had no daemon{belonged}: its XDP program was removed from \
                 {}; forwarding has stopped",
                listed(&interfaces)
            )?;
        }
    }
    Ok(())
}

fn listed(interfaces: &[String]) -> String {
    match interfaces {
        [] => "no interface".to_owned(),
        names => names.join(", "),
    }
}
