//! A virtual machine to measure in: Debian's kernel, and the files to boot it, in the cache.
//!
//! Nothing is installed: the packages are unpacked.

mod archive;
mod initramfs;
mod kernel;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use xtask::toolchain::cache;

use super::{apt, machine::has_apt, packages::guest_packages};

/// The kernel of the Debian release that this machine runs.
const KERNEL: &str = "linux-image-amd64";
const BUSYBOX: &str = "busybox-static";

/// Gets what is missing. Returns the directory with `vmlinux`, `initrd`, and the modules in
/// `unpacked/lib/modules/<release>`.
pub fn guest() -> Result<PathBuf> {
    if !has_apt() {
        bail!("the guest boots a kernel of Debian's, which only apt can get");
    }
    guest_packages()?;
    let package = apt::first_dependency(KERNEL)?;
    let release = package
        .strip_prefix("linux-image-")
        .with_context(|| format!("{KERNEL} depends on {package}, which is no kernel"))?;
    let folder = cache()?.join("guest").join(release);
    if !folder.join("initrd").is_file() {
        eprintln!("==> get {package} for a guest to boot (once)");
        make(&package, release, &folder)
            .with_context(|| format!("cannot make a guest in {}", folder.display()))?;
    }
    Ok(folder)
}

fn make(package: &str, release: &str, folder: &Path) -> Result<()> {
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(folder)?;
    apt::unpack(&[package.to_owned(), BUSYBOX.to_owned()], &unpacked)?;
    kernel::extract(
        &unpacked.join("boot").join(format!("vmlinuz-{release}")),
        &folder.join("vmlinux"),
    )?;
    link_modules(&unpacked)?;
    initramfs::index(&unpacked, release)?;
    initramfs::write(&unpacked, release, &folder.join("initrd"))
}

/// Debian 13 has the modules below `usr`. A link makes both releases alike.
fn link_modules(unpacked: &Path) -> Result<()> {
    let lib = unpacked.join("lib");
    if !lib.exists() {
        symlink("usr/lib", &lib).with_context(|| format!("cannot create {}", lib.display()))?;
    }
    Ok(())
}
