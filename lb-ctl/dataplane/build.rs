//! Compiles the eBPF program, which the binary carries.

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use xtask::toolchain::{self, Package};

fn main() -> ExitCode {
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        // Returned from `main`, cargo would show it below a backtrace.
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

    let out = env::var_os("OUT_DIR").context("cargo did not set OUT_DIR")?;
    let out = Path::new(&out);
    let shared = toolchain::build_ebpf(Package::Director, &toolchain::target_dir(out))?;
    // A copy of this build's own: a build of another profile may be replacing the shared one.
    let object = out.join("lb-ebpf");
    fs::copy(&shared, &object).with_context(|| format!("cannot copy {}", shared.display()))?;
    println!("cargo:rustc-env=LB_EBPF_OBJECT={}", object.display());
    Ok(())
}
