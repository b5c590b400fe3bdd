//! `lb-ctl detach`: stop forwarding, whether a daemon runs or not.

use std::io::Write;

use super::{Failure, accept, print_plan};
use crate::{
    api::{self, CallError, Request},
    director,
    instance::Instance,
    output::Output,
};

pub fn detach(instance: &Instance, output: &mut Output<impl Write>) -> Result<(), Failure> {
    match api::call(instance, &Request::Detach) {
        Err(CallError::NoDaemon { .. }) => {}
        reply => return print_plan(accept(reply?)?, output),
    }
    let removed = director::detach(instance)?;
    if removed.is_empty() {
        writeln!(output, "nothing to do")?;
    }
    for path in removed {
        output.plan_line(&format!("- {path}"))?;
    }
    Ok(())
}
