//! ipvsadm's command line: `lb-ctl ipvsadm ...`, and this program when it is called `ipvsadm`,
//! `ipvsadm-save` or `ipvsadm-restore`. Commands, options, listings, messages and exit codes are
//! those of ipvsadm 1.31, byte for byte; what they do is done by the daemon.
//!
//! [`arguments`] says what a command line means, [`director`] asks the daemon, and
//! [`listing`], [`connections`] and [`save`] write what it answers. All but the way to the
//! daemon is pure, and tested against captures of the real program.

mod arguments;
mod connections;
mod director;
mod input;
mod listing;
mod matrix;
mod messages;
mod names;
mod options;
mod order;
mod save;
mod session;
mod text;
mod values;

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use self::{
    director::{Failure, Live},
    names::Resolver,
    session::{End, Session},
};
use crate::instance::Instance;

/// What this program is called by, if that is one of ipvsadm's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `ipvsadm`
    Ipvsadm,
    /// `ipvsadm-save`
    Save,
    /// `ipvsadm-restore`
    Restore,
}

impl Program {
    /// By the first of a program's arguments.
    #[must_use]
    pub fn called(by: &OsStr) -> Option<Self> {
        match Path::new(by).file_name()?.to_str()? {
            "ipvsadm" => Some(Self::Ipvsadm),
            "ipvsadm-save" => Some(Self::Save),
            "ipvsadm-restore" => Some(Self::Restore),
            _ => None,
        }
    }
}

/// Does what the arguments (without the program's name) say, to the instance that the
/// environment names.
pub fn main(program: Program, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let name = env::var("LB_INSTANCE").unwrap_or_else(|_| "default".to_owned());
    match name.parse() {
        Ok(instance) => run(program, arguments, instance),
        Err(fault) => {
            let _ = writeln!(io::stderr(), "LB_INSTANCE={}: {fault}", name.escape_debug());
            ExitCode::from(2)
        }
    }
}

/// [`main`] for an instance.
pub fn run(
    program: Program,
    arguments: impl IntoIterator<Item = OsString>,
    instance: Instance,
) -> ExitCode {
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let names = Resolver::default();
    let mut live = Live::of(instance);
    let present = live.greet();
    let mut session = Session {
        director: live,
        names: &names,
        input: input::Stdin::default(),
        output: BufWriter::new(io::stdout().lock()),
        errors: io::stderr(),
    };
    let needs_none = program == Program::Ipvsadm && session::needs_no_director(&arguments);
    let end = match present {
        Err(failure) if !needs_none => Err(End::Failure(failure)),
        _ => session.run(program, &arguments),
    };
    let code = match end {
        Ok(code) => session.output.flush().map(|()| code).map_err(End::Output),
        Err(end) => {
            let _ = session.output.flush();
            Err(end)
        }
    };
    ExitCode::from(code.unwrap_or_else(conclude))
}

/// The exit code of what could not go on, and why on standard error. That nobody reads either
/// is no failure.
fn conclude(end: End) -> u8 {
    let (text, code) = match end {
        End::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return 0,
        End::Output(error) => (format!("cannot write to standard output: {error}"), 1),
        End::Input(error) => (format!("cannot read standard input: {error}"), 1),
        End::Failure(Failure::Absent(why)) => (
            format!("Can't initialize ipvs: Protocol not available\n{why}"),
            2,
        ),
        End::Failure(Failure::Denied(why)) => (
            format!("Can't initialize ipvs: Permission denied (you must be root)\n{why}"),
            2,
        ),
        End::Failure(Failure::Other(why)) => (why, 255),
    };
    let _ = writeln!(io::stderr(), "{text}");
    code
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod memory;
