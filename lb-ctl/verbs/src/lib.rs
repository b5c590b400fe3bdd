//! The command `lb-ctl`: its arguments, what it asks of the daemon, and what it prints. One verb
//! is one file.
//!
//! No verb touches the packet path. What needs it (`run`, and `detach` where no daemon runs) is
//! handed in as a [`Machine`].

mod apply;
mod ask;
mod check;
mod command_line;
mod conns;
mod detach;
mod failure;
mod flags;
mod ipvsadm;
mod log_filter;
mod log_writer;
mod machine;
mod meant;
mod run;
mod save;
mod server;
mod service;
mod stats;
pub mod text;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, error::ErrorKind};
use lb_ipvsadm::Program;

pub use self::machine::{Detached, Machine, Mode, Start};

use self::{
    command_line::{CommandLine, Verb},
    failure::{Failure, complain},
    text::output::Output,
};

/// Does what the command line says. Ends with 0, with 1 for a failure, or with 2 for wrong
/// arguments or a wrong configuration; as ipvsadm, it has ipvsadm's exit codes.
pub fn main(arguments: impl IntoIterator<Item = OsString>, machine: &impl Machine) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    // Called by one of ipvsadm's names, this program takes ipvsadm's arguments only.
    if let Some(program) = arguments.peek().and_then(|name| Program::called(name)) {
        return lb_ipvsadm::main(program, arguments.skip(1));
    }
    let arguments: Vec<_> = arguments.collect();
    let command_line = match CommandLine::try_parse_from(&arguments) {
        Ok(command_line) => command_line,
        Err(error) => return refuse(&error, &arguments),
    };
    let mut output = Output::stdout();
    let result = carry_out(command_line, machine, &mut output).and_then(|code| {
        output.flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => code,
        Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            // Shows what was written before the failure.
            let _ = output.flush();
            complain(&message);
            ExitCode::FAILURE
        }
        Err(Failure::Wrong(message)) => {
            complain(&message);
            ExitCode::from(2)
        }
    }
}

fn carry_out(
    command_line: CommandLine,
    machine: &impl Machine,
    output: &mut Output<impl Write>,
) -> Result<ExitCode, Failure> {
    let CommandLine { instance, verb } = command_line;
    let done = match verb {
        Verb::Run(arguments) => arguments.carry_out(instance, machine),
        Verb::Check(arguments) => arguments.carry_out(&instance, machine, output),
        Verb::Apply(arguments) => arguments.carry_out(&instance, output),
        Verb::Save(arguments) => arguments.carry_out(&instance, output),
        Verb::Service(verb) => verb.carry_out(&instance, output),
        Verb::Server(verb) => verb.carry_out(&instance, output),
        Verb::Stats(arguments) => arguments.carry_out(&instance, output),
        Verb::Conns(arguments) => arguments.carry_out(&instance, output),
        // It has exit codes of its own.
        Verb::Ipvsadm(arguments) => return Ok(arguments.carry_out(instance)),
        Verb::Detach => detach::carry_out(&instance, machine, output),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Says what clap finds wrong with a command line, in the way of all other complaints.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if asked_for || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // It is not a failure if the reader of a pipe has gone.
        let _ = error.print();
        return ExitCode::from(if asked_for { 0 } else { 2 });
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut lines = text.lines().filter(|line| !line.is_empty());
    complain(lines.next().unwrap_or_default());
    if let Some(hint) = meant::hint(error, arguments) {
        complain(&hint);
    }
    for line in lines {
        let _ = writeln!(io::stderr(), "{line}");
    }
    ExitCode::from(2)
}
