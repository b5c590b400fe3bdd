//! `lb-ctl apply`: make the live state equal to a file.

use std::io::Write;

use super::{Failure, ask, print_plan};
use crate::{api::Request, args::Apply, config, instance::Instance, output::Output};

pub fn apply(
    instance: &Instance,
    arguments: &Apply,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let source = config::read(&arguments.file)?;
    // A wrong file is one also where no daemon runs.
    config::parse(&source.text, &source.name)?;
    let request = Request::Apply {
        source,
        dry_run: arguments.dry_run,
    };
    print_plan(ask(instance, &request)?, output)
}
