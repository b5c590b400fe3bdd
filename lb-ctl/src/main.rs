//! The director: daemon and command.

use std::process::ExitCode;

fn main() -> ExitCode {
    lb_ctl::command::main(std::env::args_os())
}
