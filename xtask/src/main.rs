//! The project's verbs: `cargo xtask VERB`.

mod attach;
mod bench;
mod build;
mod demo;
mod failure;
mod help;
mod install;
mod run;
mod setup;
mod test;

use std::{env, ffi::OsString, process::ExitCode};

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let verb = arguments.next();
    let arguments: Vec<OsString> = arguments.collect();
    match dispatch(verb, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            failure::exit_code(&error)
        }
    }
}

fn dispatch(verb: Option<OsString>, arguments: &[OsString]) -> Result<()> {
    let verb = verb.unwrap_or_else(|| "help".into());
    if let Some(help) = help::asked(&verb, arguments) {
        return help::print(help);
    }
    match verb.to_str() {
        Some("setup") => setup::verb(arguments),
        Some("build") => build::verb(arguments),
        Some("attach") => attach::verb(arguments),
        Some("demo") => demo::verb(arguments),
        Some("test") => test::verb(arguments),
        Some("bench") => bench::verb(arguments),
        Some("install") => install::install(arguments),
        Some("uninstall") => install::uninstall(arguments),
        Some("help" | "--help" | "-h") => help::verb(arguments),
        _ => bail!(help::unknown(&verb)),
    }
}
