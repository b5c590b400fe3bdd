//! `lb-ctl detach`: stop forwarding, whether a daemon runs or not.

use std::io::Write;

use super::{Failure, ask, print_plan};
use crate::{
    api::{self, CallError, Request},
    director,
    instance::Instance,
    output::Output,
};

pub fn detach(instance: &Instance, output: &mut Output<impl Write>) -> Result<(), Failure> {
    if !matches!(
        api::call(instance, &Request::Show),
        Err(CallError::NoDaemon { .. })
    ) {
        return print_plan(ask(instance, &Request::Detach)?, output);
    }
    // Takes the instance's lock, so that no daemon starts meanwhile.
    let lines = director::detach(instance)?;
    if lines.is_empty() {
        writeln!(output, "nothing to do")?;
    }
    for line in lines {
        writeln!(output, "- {line}")?;
    }
    Ok(())
}
