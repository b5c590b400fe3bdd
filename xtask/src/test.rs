//! `test`: runs every check and every test.

use std::{
    ffi::OsString,
    io::{self, Write},
    time::Instant,
};

use anyhow::{Result, bail};
use xtask::toolchain::target_dir;

use crate::{
    build,
    failure::Usage,
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
        Some((first, _)) => bail!(Usage(format!(
            "unknown argument {first:?}\nusage: cargo xtask test [-- ARGS...]"
        ))),
    };
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
