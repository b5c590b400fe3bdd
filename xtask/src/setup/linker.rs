//! Builds bpf-linker for a compiler.

use std::{fs, os::unix::fs::symlink, process::Stdio};

use anyhow::{Context, Result};
use xtask::{
    environment, root,
    toolchain::{Compiler, LINKER_VERSION, Linker, cache},
};

use crate::run::run;

/// Builds it in the cache, linked with the LLVM library of the compiler. So it can read the
/// compiler's bitcode, and needs no development files of LLVM.
pub fn build(compiler: &Compiler) -> Result<()> {
    let llvm = compiler.libllvm()?;
    let libraries = llvm
        .parent()
        .with_context(|| format!("{} is in no folder", llvm.display()))?;
    let folder = Linker::folder(&cache()?, compiler.llvm);
    // bpf-linker's build script looks for `libLLVM.so` in a directory `lib`.
    let prefix = folder.join("llvm");
    let lib = prefix.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
    let link = lib.join("libLLVM.so");
    if link.is_symlink() {
        fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    symlink(&llvm, &link).with_context(|| format!("cannot create {}", link.display()))?;

    let mut command = compiler.command(environment::cargo().as_ref());
    environment::forget_build(&mut command)
        .current_dir(root())
        .env("LLVM_PREFIX", &prefix)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("-Clink-arg=-Wl,-rpath,{}", libraries.display()),
        )
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .args(["install", "bpf-linker", "--version", LINKER_VERSION])
        .args(["--locked", "--force", "--no-default-features"])
        .arg("--features")
        .arg(format!("llvm-{}", compiler.llvm))
        .arg("--root")
        .arg(&folder)
        .stdin(Stdio::null());
    run(
        &format!("cargo install bpf-linker {LINKER_VERSION}"),
        &mut command,
    )
}
