//! What each verb does, and examples of it: `cargo xtask help VERB`.

use std::{
    ffi::OsString,
    io::{self, Write},
};

use anyhow::{Result, bail};

use crate::failure::Usage;

/// All verbs, on one screen.
pub const OVERVIEW: &str = "\
cargo xtask VERB

  setup    install missing dependencies of building, tests and demo
  build    build lb-ctl, with the eBPF programs in it
  attach --interface IF --config FILE [ARGS...]
           build, then run the director in the foreground; ARGS go to `lb-ctl run`
  demo [--keep | --down]
           build, then balance real HTTP in a lab of namespaces and show the tables;
           --keep leaves the lab running, --down removes such a lab
  test [-- ARGS...]
           run every check and every test; ARGS go to `cargo test`
  bench [GROUP...] [--quick] [--only SUBSTRING] [--compare OLD.json] [--docs] [ARGS...]
           build, then measure what the director costs; --compare lists what got worse,
           --docs writes docs/performance.md
  install [--prefix DIR] [--divert]
           build, then put lb-ctl into DIR/sbin (default /usr/local/sbin), and links to it
           under the names ipvsadm, ipvsadm-save and ipvsadm-restore; --divert also puts
           the links into /usr/sbin, and moves Debian's ipvsadm aside (dpkg-divert)
  uninstall [--prefix DIR]
           remove them again, and put Debian's ipvsadm back
  help [VERB]
           this text, or more about a verb; so does VERB --help

LB_CACHE is the directory for what setup builds (default ~/.cache/lb).
The first build of a release takes several minutes; later ones take seconds.
";

/// A verb, and its help.
type Topic = (&'static str, &'static str);

/// All verbs that [`OVERVIEW`] lists, in its order.
pub const TOPICS: &[Topic] = &[
    (
        "setup",
        "\
usage: cargo xtask setup

Installs what is missing for building, tests and demo: a compiler and a linker for eBPF
programs, and programs such as nginx. Prints what is used. Removes nothing.

Examples:
  cargo xtask setup
  LB_CACHE=/var/cache/lb cargo xtask setup
",
    ),
    (
        "build",
        "\
usage: cargo xtask build

Builds lb-ctl for release, with the eBPF programs in it, and prints its path.

Examples:
  cargo xtask build
",
    ),
    (
        "attach",
        "\
usage: cargo xtask attach --interface IF --config FILE [ARGS...]

Builds lb-ctl, then runs the director in the foreground, as `lb-ctl run` does.

  --interface IF    attach to this interface; can be repeated
  --config FILE     the configuration file; `-` is standard input
  --mode MODE       how to attach: auto (default), native or generic
  --log FILTER      what to log: a level such as debug, or PART=LEVEL,...
  --instance NAME   which director, if there are several on one machine

Examples:
  cargo xtask attach --interface eth0 --config lb.yaml
  cargo xtask attach --interface eth0 --interface eth1 --config lb.yaml --mode generic
",
    ),
    (
        "demo",
        "\
usage: cargo xtask demo [--keep | --down]

Builds, then balances real HTTP through DR, NAT and TUN in network namespaces of this
machine, and shows the tables. Needs root. Touches no interface of the machine itself.

  --keep   leave the labs running until Ctrl-C, and say how to explore them
  --down   end the demos that run with --keep elsewhere

Examples:
  cargo xtask demo
  cargo xtask demo --keep
  cargo xtask demo --down
",
    ),
    (
        "test",
        "\
usage: cargo xtask test [-- ARGS...]

Checks format and lints, builds, and runs all tests. ARGS go to `cargo test`.

Examples:
  cargo xtask test
  cargo xtask test -- -p lb-model
  cargo xtask test -- --test labs nat
",
    ),
    (
        "bench",
        "\
usage: cargo xtask bench [GROUP...] [OPTIONS]

Builds, then measures what the director costs. Exits with 1 if something could not be
measured, or got worse than the report of --compare.

Groups: program, path, connections, control; and guest (only when named), which compares
with IPVS in a virtual machine.

  --quick               measure just long enough to see whether it works
  --samples N           values for each figure
  --only SUBSTRING      only rows whose case contains this
  --out DIR             where to write report.json, performance.md and its plots
  --docs                also write docs/performance.md, its plots and its report
  --from REPORT.json    measure nothing: take figures from this report; can be repeated
  --compare OLD.json    compare with an older report, row by row
  --threshold PERCENT   what counts as no change (default 5)

Examples:
  cargo xtask bench --quick
  cargo xtask bench program path --only NAT
  cargo xtask bench program --compare docs/performance/report.json
",
    ),
    (
        "install",
        "\
usage: cargo xtask install [--prefix DIR] [--divert]

Builds, then puts lb-ctl into DIR/sbin, and links to it under the names ipvsadm,
ipvsadm-save and ipvsadm-restore.

  --prefix DIR   default /usr/local
  --divert       also put the links into /usr/sbin, where scripts expect them, and move
                 Debian's ipvsadm aside (dpkg-divert); `uninstall` undoes it

Examples:
  cargo xtask install
  cargo xtask install --prefix /opt/lb
  cargo xtask install --divert
",
    ),
    (
        "uninstall",
        "\
usage: cargo xtask uninstall [--prefix DIR]

Removes what `install` installed, and puts Debian's ipvsadm back.

Examples:
  cargo xtask uninstall
  cargo xtask uninstall --prefix /opt/lb
",
    ),
    ("help", OVERVIEW),
];

/// `help`, or `help VERB`.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    match arguments {
        [] => print(OVERVIEW),
        [verb] => match of(verb) {
            Some(help) => print(help),
            None => bail!(unknown(verb)),
        },
        _ => bail!(Usage("usage: cargo xtask help [VERB]".into())),
    }
}

/// The help of a verb, if its arguments ask for it. What follows `--` is for another program.
pub fn asked(verb: &OsString, arguments: &[OsString]) -> Option<&'static str> {
    let mut own = arguments.iter().take_while(|argument| *argument != "--");
    let asked = own.any(|argument| argument == "--help" || argument == "-h");
    asked.then(|| of(verb)).flatten()
}

/// The help of a verb.
fn of(verb: &OsString) -> Option<&'static str> {
    let topic = TOPICS.iter().find(|(name, _)| *name == verb);
    topic.map(|(_, help)| *help)
}

/// A verb that there is not.
pub fn unknown(verb: &OsString) -> Usage {
    let verbs: Vec<_> = TOPICS.iter().map(|(name, _)| *name).collect();
    Usage(format!("unknown verb {verb:?}: use {}", verbs.join(", ")))
}

/// Refuses arguments, with the verb's help behind the reason.
pub fn refuse(verb: &str, reason: &str) -> Usage {
    let usage = of(&verb.into()).and_then(|help| help.lines().next());
    let usage = usage.unwrap_or_default();
    Usage(format!(
        "{reason}\n{usage}\n`cargo xtask {verb} --help` says more"
    ))
}

/// Fails if a verb that takes no arguments got some.
pub fn no_arguments(verb: &str, arguments: &[OsString]) -> Result<(), Usage> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(refuse(
            verb,
            &format!("`{verb}` takes no arguments, but got {argument:?}"),
        )),
    }
}

/// Prints a help text. It is not a failure if the reader of a pipe has gone.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_help_with_examples_that_fit_the_screen() {
        for (verb, help) in TOPICS {
            assert!(OVERVIEW.contains(&format!("\n  {verb} ")), "{verb}");
            assert!(help.lines().all(|line| line.len() <= 90), "{verb}");
            let example = format!("cargo xtask {verb}");
            let examples = help.split_once("Examples:\n").map(|(_, lines)| lines);
            assert!(
                *verb == "help" || examples.is_some_and(|lines| lines.contains(&example)),
                "{verb}"
            );
        }
    }

    #[test]
    fn help_is_asked_for_before_a_double_dash_only() {
        let asked = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            asked(&words[0], &words[1..]).is_some()
        };
        assert!(asked("demo --help"));
        assert!(asked("bench program -h"));
        assert!(asked("attach --interface eth0 --help"));
        assert!(!asked("demo --keep"));
        assert!(!asked("test -- --help"));
        assert!(!asked("nonsense --help"));
    }
}
