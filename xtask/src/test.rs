//! `test`: runs every check and every test.

use std::{
    ffi::OsString,
    io::{self, Write},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use xtask::toolchain::target_dir;

use crate::{
    build, help,
    run::{cargo, run, seconds, step, target},
    setup,
};

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
// The eBPF programs can only be compiled for the kernel. Their own compiler checks them.
const CLIPPY: &[&str] = &[
    "clippy",
    "--workspace",
    "--exclude",
    "lb-ebpf",
    "--exclude",
    "lb-bench-ebpf",
    "--all-targets",
    "--",
    "-Dwarnings",
];
const TESTS: &[&str] = &[
    "test",
    "--workspace",
    "--exclude",
    "lb-ebpf",
    "--exclude",
    "lb-bench-ebpf",
];

/// Stops at the first failure. Arguments after `--` go to cargo test.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    let arguments = match arguments.split_first() {
        None => arguments,
        Some((first, rest)) if first == "--" => rest,
        Some((first, _)) => bail!(help::refuse("test", &format!("unknown argument {first:?}"))),
    };
    check(arguments)?;
    let start = Instant::now();
    let toolchain = setup::toolchain()?;
    setup::test_packages()?;

    for (title, arguments) in [("format", FORMAT), ("clippy", CLIPPY)] {
        step(title, || run(title, &mut cargo(arguments)))?;
    }
    let objects = target_dir(&target()?);
    step("clippy, for the eBPF programs", || toolchain.lint(&objects))?;
    let binary = build::build()?;
    // No line about the duration after this step: cargo test's summaries come last.
    eprintln!("==> tests");
    let mut tests = cargo(TESTS);
    run("tests", tests.args(arguments).env("LB_CTL", binary))?;

    let duration = seconds(start.elapsed());
    writeln!(
        io::stdout(),
        "every check and every test passed in {duration}"
    )?;
    Ok(())
}

/// Lets cargo judge its arguments: `-h` behind them makes it do nothing else. What follows `--` is
/// for the tests themselves.
fn check(arguments: &[OsString]) -> Result<()> {
    let own = arguments.iter().take_while(|argument| *argument != "--");
    let mut command = cargo(TESTS);
    command.args(own).arg("-h");
    let output = command.output().context("cannot run cargo test")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.trim_start_matches("error: ");
        bail!(help::refuse("test", reason.trim_end()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_cargo_does_not_know_are_refused_before_anything_is_built() {
        let check = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            check(&words).err().map(|error| error.to_string())
        };
        assert_eq!(check(&["--test", "labs", "nat", "--", "--nocapture"]), None);
        let reason = check(&["--tset", "labs"]).unwrap_or_default();
        assert!(reason.contains("--tset"), "{reason}");
    }
}
