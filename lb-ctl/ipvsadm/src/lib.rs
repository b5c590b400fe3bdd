//! ipvsadm's command line: `lb-ctl ipvsadm ...`, and this program when it is called `ipvsadm`,
//! `ipvsadm-save` or `ipvsadm-restore`. Commands, options, listings, messages and exit codes are
//! those of ipvsadm 1.31, byte for byte; the daemon does the work.
//!
//! - [`arguments`] reads a command line; [`options`], [`matrix`] and [`values`] are its parts
//! - [`words`] translates ipvsadm's words to the model's and back
//! - [`session`] carries a command out: it asks a [`Kernel`], which is the daemon here
//! - [`listing`], [`connections`] and [`save`] write what the kernel answers
//!
//! All of it but [`daemon`], [`input`] and the resolver in [`names`] is pure. The tests replay
//! captures of the real program against a kernel in memory.

mod arguments;
mod connections;
mod daemon;
mod input;
mod kernel;
mod listing;
mod matrix;
mod messages;
mod names;
mod options;
mod order;
mod program;
mod save;
mod session;
mod text;
mod values;
mod words;

use std::{
    env,
    ffi::OsString,
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use lb_api::Instance;

use self::{daemon::Daemon, input::Stdin, names::Resolver};
pub use self::{
    input::Lines,
    kernel::{Failure, Kernel, Refused},
    names::Names,
    program::Program,
    session::{End, Session},
};

/// Does what the arguments say (the program's name is not among them), to the instance that the
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
    let mut session = Session {
        kernel: Daemon::of(instance),
        names: &names,
        input: Stdin::default(),
        output: BufWriter::new(io::stdout().lock()),
        errors: io::stderr(),
    };
    let code = match session.run(program, &arguments) {
        Ok(code) => session.output.flush().map(|()| code).map_err(End::Output),
        Err(end) => {
            // What was written before belongs before the message.
            let _ = session.output.flush();
            Err(end)
        }
    };
    ExitCode::from(code.unwrap_or_else(conclude))
}

/// Says on standard error why the program ended early. Gives its exit code.
fn conclude(end: End) -> u8 {
    let (text, code) = match end {
        // The reader of a pipe has gone, as `head` does.
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
