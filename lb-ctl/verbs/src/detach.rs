//! `lb-ctl detach`: stops forwarding, whether a daemon runs or not.

use std::io::Write;

use lb_api::{CallError, Instance, Reply, Request};

use crate::{
    ask::{accept, out_of_place, tell},
    failure::Failure,
    machine::Machine,
    text::output::Output,
};

pub fn carry_out(
    instance: &Instance,
    machine: &impl Machine,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    match lb_api::call(instance, &Request::Detach) {
        Err(CallError::NoDaemon { .. }) => {
            let removed = machine.detach(instance)?;
            let removed: Vec<_> = removed.iter().map(|path| format!("- {path}")).collect();
            tell(&removed, output)
        }
        reply => match accept(reply?)? {
            Reply::Done => Ok(()),
            _ => Err(out_of_place()),
        },
    }
}
