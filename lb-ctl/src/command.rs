//! The verbs of `lb-ctl`, and how they end: 0, 1 failed, 2 wrong arguments or configuration.

mod apply;
mod check;
mod conns;
mod detach;
mod run;
mod save;
mod server;
mod service;
mod stats;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, error::ErrorKind};

use crate::{
    api::{self, BindError, CallError, Reply, Request},
    args::{CommandLine, Verb},
    config::ConfigError,
    instance::Instance,
    ipvsadm::{self, Program},
    output::Output,
    rules::Fault,
};

/// Does what the command line says.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    // Called as ipvsadm, it is ipvsadm, whatever its arguments.
    if let Some(program) = arguments.peek().and_then(|name| Program::called(name)) {
        return ipvsadm::main(program, arguments.skip(1));
    }
    let command_line = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line,
        Err(error) => return refuse(&error),
    };
    let command_line = match command_line {
        CommandLine {
            instance,
            verb: Verb::Ipvsadm { arguments },
        } => return ipvsadm::run(Program::Ipvsadm, arguments, instance),
        other => other,
    };
    let mut output = Output::stdout();
    let result =
        carry_out(command_line, &mut output).and_then(|()| output.flush().map_err(Failure::from));
    match result {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            // What was found before it failed.
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

fn carry_out(command_line: CommandLine, output: &mut Output<impl Write>) -> Result<(), Failure> {
    let CommandLine { instance, verb } = command_line;
    match verb {
        Verb::Run(arguments) => run::run(instance, arguments),
        Verb::Check(arguments) => check::check(&arguments, output),
        Verb::Apply(arguments) => apply::apply(&instance, &arguments, output),
        Verb::Save(arguments) => save::save(&instance, &arguments, output),
        Verb::Service(verb) => service::service(&instance, verb, output),
        Verb::Server(verb) => server::server(&instance, verb, output),
        Verb::Stats(arguments) => stats::stats(&instance, &arguments, output),
        Verb::Conns(arguments) => conns::conns(&instance, &arguments, output),
        // It has exit codes of its own.
        Verb::Ipvsadm { .. } => Ok(()),
        Verb::Detach => detach::detach(&instance, output),
    }
}

/// Why a verb did not do what it was told.
#[derive(Debug)]
enum Failure {
    /// It was right, but could not be done.
    Failed(String),
    /// The arguments or the configuration are wrong.
    Wrong(String),
    /// Standard output was closed: whoever read it has seen enough.
    NobodyReads,
}

/// Asks the daemon; an error that it answers is a failure.
fn ask(instance: &Instance, request: &Request) -> Result<Reply, Failure> {
    accept(api::call(instance, request)?)
}

fn accept(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::Error {
            kind: api::ErrorKind::Failed,
            message,
        } => Err(Failure::Failed(message)),
        Reply::Error {
            kind: api::ErrorKind::BadRequest,
            message,
        } => Err(Failure::Wrong(message)),
        reply => Ok(reply),
    }
}

/// A reply that does not belong to the request.
fn out_of_place(_: Reply) -> Failure {
    Failure::Failed("the daemon answered something else than it was asked".into())
}

/// Prints what the daemon did.
fn print_plan(reply: Reply, output: &mut Output<impl Write>) -> Result<(), Failure> {
    match reply {
        Reply::Done => {}
        Reply::Plan(lines) if lines.is_empty() => writeln!(output, "nothing to do")?,
        Reply::Plan(lines) => lines.iter().try_for_each(|line| output.plan_line(line))?,
        other => return Err(out_of_place(other)),
    }
    Ok(())
}

/// What clap says about a command line, in our way.
fn refuse(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if asked_for || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // That nobody reads it is no failure.
        let _ = error.print();
        return ExitCode::from(if asked_for { 0 } else { 2 });
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut lines = text.lines().filter(|line| !line.is_empty());
    complain(lines.next().unwrap_or_default());
    lines.for_each(explain);
    ExitCode::from(2)
}

/// Each line by itself: a configuration has many faults.
fn complain(message: &str) {
    for line in message.lines() {
        explain(&format!("lb-ctl: {line}"));
    }
}

/// That nobody reads it is no failure.
fn explain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// For standard output; what is written elsewhere says where.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let wrong = error
            .chain()
            .any(|cause| cause.is::<ConfigError>() || cause.is::<Fault>());
        let message = format!("{error:#}");
        if wrong {
            Self::Wrong(message)
        } else {
            Self::Failed(message)
        }
    }
}
