//! Compiles the eBPF programs, for the binary to carry.

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use xtask::toolchain;

/// The director's program: cargo's name of it, and the variable that holds its path.
const DIRECTOR: (&str, &str) = ("lb-ebpf", "LB_EBPF_OBJECT");
/// The tests' program, where there is one.
const LAB: (&str, &str) = ("lab", "LB_LAB_OBJECT");

fn main() -> ExitCode {
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        // As an error of `main` it would drown in a backtrace.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<()> {
    let sources = ["lb-ebpf", "lb-common", "Cargo.lock", "Cargo.toml"];
    for source in sources.map(|name| xtask::root().join(name)) {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    println!("cargo:rerun-if-env-changed=LB_CACHE");

    // A target directory of its own: cargo holds the lock of the other.
    let out = env::var_os("OUT_DIR").context("OUT_DIR is not set: cargo sets it")?;
    let objects = toolchain::build_ebpf(&Path::new(&out).join("ebpf"))?;
    for (name, variable) in [DIRECTOR, LAB] {
        let object = objects.join(name);
        if object.is_file() {
            println!("cargo:rustc-env={variable}={}", object.display());
        }
    }
    Ok(())
}
