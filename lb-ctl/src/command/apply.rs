//! `lb-ctl apply`: make the live state equal to a file.

use std::io::Write;

use super::{Failure, accept, print_plan};
use crate::{
    api::{self, Request},
    args::Apply,
    config,
    instance::Instance,
    output::Output,
};

pub fn apply(
    instance: &Instance,
    arguments: &Apply,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let source = config::read(&arguments.file)?;
    let request = Request::Apply {
        source: source.clone(),
        dry_run: arguments.dry_run,
    };
    let reply = match api::call(instance, &request) {
        Ok(reply) => reply,
        Err(error) => {
            // A wrong file is one also where no daemon runs.
            config::parse(&source.text, &source.name)?;
            return Err(error.into());
        }
    };
    print_plan(accept(reply)?, output)
}
