//! `setup`: installs what building, tests and demo need and the machine lacks.
//!
//! Looks at the machine, decides the next step, does it, and looks again, until nothing is missing
//! or nothing is left to try. Never removes what the user has installed.

mod apt;
mod guest;
mod linker;
mod machine;
mod nightly;
mod packages;
mod plan;
mod services;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use anyhow::{Result, bail};
use xtask::toolchain::Toolchain;

pub use self::{
    guest::guest,
    packages::{bench_packages, test_packages},
};
use self::{
    machine::Machine,
    plan::{Next, next},
};
use crate::help::no_arguments;

/// Installs everything that is missing, and prints what is used.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    no_arguments("setup", arguments)?;
    let toolchain = complete()?;
    writeln!(
        io::stdout(),
        "compiler  {}\nlinker    {}",
        toolchain.compiler,
        toolchain.linker
    )?;
    let programs = test_packages()?;
    writeln!(io::stdout(), "tests     {programs}")?;
    Ok(())
}

/// Installs the toolchain for the eBPF programs if it is missing, and says which is used.
pub fn toolchain() -> Result<Toolchain> {
    let toolchain = complete()?;
    eprintln!("eBPF toolchain: {toolchain}");
    Ok(toolchain)
}

fn complete() -> Result<Toolchain> {
    let mut tried = Vec::new();
    loop {
        let machine = Machine::look()?;
        match next(&machine, &tried) {
            Next::Ready(toolchain) => return Ok(toolchain),
            Next::Do(step) => {
                eprintln!("==> {step}");
                if let Err(error) = step.take() {
                    eprintln!("==> could not {step}: {error:#}");
                }
                tried.push(step);
            }
            Next::Stuck(ways) => bail!(
                "no toolchain for eBPF: {}\n{}",
                machine.survey,
                plan::advice(&ways)
            ),
        }
    }
}
