//! The project's verbs: `cargo xtask VERB`.

mod attach;
mod bench;
mod build;
mod demo;
mod failure;
mod install;
mod run;
mod setup;
mod test;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Result, bail};

use crate::failure::Usage;

const HELP: &str = "\
cargo xtask VERB

  setup    install missing dependencies of building, tests and demo
  build    build lb-ctl, with the eBPF programs in it
  attach --interface IF --config FILE [ARGS...]
           build, then run the director in the foreground; ARGS go to `lb-ctl run`
  demo [--keep | --down]
           build, then balance real HTTP in a lab of namespaces and show the tables;
           --keep leaves the lab up, --down takes such a lab down
  test [-- ARGS...]
           every check and every test; ARGS go to `cargo test`
  bench [GROUP...] [--quick] [--only SUBSTRING] [--compare OLD.json] [--docs] [ARGS...]
           build, then measure what the director costs; --compare says what got worse,
           --docs writes docs/performance.md, `cargo xtask bench --help` says the rest
  install [--prefix DIR] [--divert]
           build, then put lb-ctl into DIR/sbin (default /usr/local/sbin), and links to it
           under the names ipvsadm, ipvsadm-save and ipvsadm-restore; --divert puts the links
           into /usr/sbin, too, and Debian's ipvsadm aside (dpkg-divert)
  uninstall [--prefix DIR]
           remove them again, and put Debian's ipvsadm back
  help     this text

LB_CACHE names the folder for what setup builds (default ~/.cache/lb).
";

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
    match verb.to_str() {
        Some("setup") => setup::verb(arguments),
        Some("build") => build::verb(arguments),
        Some("attach") => attach::verb(arguments),
        Some("demo") => demo::verb(arguments),
        Some("test") => test::verb(arguments),
        Some("bench") => bench::verb(arguments),
        Some("install") => install::install(arguments),
        Some("uninstall") => install::uninstall(arguments),
        Some("help" | "--help" | "-h") => Ok(io::stdout().write_all(HELP.as_bytes())?),
        _ => bail!(Usage(format!(
            "no verb {verb:?}; `cargo xtask help` lists them"
        ))),
    }
}
