//! What the daemon needs of the machine, before anything else is tried.

use anyhow::{Result, bail};
use nix::{sys::utsname::uname, unistd::geteuid};

/// The oldest kernel that has `bpf_loop`, which the packet path calls.
const KERNEL: (u32, u32) = (5, 17);

/// Says what is missing.
pub fn check() -> Result<()> {
    if !geteuid().is_root() {
        bail!("the daemon loads programs into the kernel: run it as root");
    }
    let release = uname()?.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    let version = (
        numbers.next().unwrap_or(0u32),
        numbers.next().unwrap_or(0u32),
    );
    if version < KERNEL {
        bail!(
            "this is Linux {release}; the packet path needs {}.{} or newer",
            KERNEL.0,
            KERNEL.1
        );
    }
    Ok(())
}
