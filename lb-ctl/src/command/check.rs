//! `lb-ctl check`: is this file a configuration?

use std::io::Write;

use super::Failure;
use crate::{args::Check, config, output::Output};

pub fn check(arguments: &Check, output: &mut Output<impl Write>) -> Result<(), Failure> {
    let desired = config::load(&arguments.file)?;
    let servers: usize = desired.services.iter().map(|s| s.servers.len()).sum();
    writeln!(
        output,
        "{}: ok: {} services, {servers} servers",
        arguments.file.display(),
        desired.services.len(),
    )?;
    Ok(())
}
