//! `lb-ctl server`: live edits of real servers.

use std::io::Write;

use super::{Failure, ask, print_plan};
use crate::{api::Request, args::ServerVerb, instance::Instance, output::Output};

pub fn server(
    instance: &Instance,
    verb: ServerVerb,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    print_plan(ask(instance, &Request::Edit(verb.edit()))?, output)
}
