//! Compiles the eBPF programs, for the binary to carry.

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use xtask::toolchain::{self, Package};

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
    let object = toolchain::build_ebpf(Package::Director, &Path::new(&out).join("ebpf"))?;
    println!("cargo:rustc-env=LB_EBPF_OBJECT={}", object.display());
    Ok(())
}
