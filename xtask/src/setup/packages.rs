//! Installs what tests and demo need besides the toolchain.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};
use xtask::environment::which;

use super::{
    apt,
    machine::{has_apt, is_root},
    services::NoServices,
};

/// A program, and the Debian package that has it.
type Need = (&'static str, &'static str);

const NEEDS: [Need; 4] = [
    ("ip", "iproute2"),
    ("nginx", "nginx"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
];

/// Further programs that the tests use: they were not written for this project.
const LABS: [Need; 4] = [
    ("bpftool", "bpftool"),
    ("socat", "socat"),
    ("ldirectord", "ldirectord"),
    ("nft", "nftables"),
];

/// For the virtual machine, and for what is measured in it.
const GUEST: [Need; 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
    ("ipvsadm", "ipvsadm"),
    ("nft", "nftables"),
];

/// clippy of Debian's compiler, for the eBPF programs.
const CLIPPY: Need = ("/usr/bin/clippy-driver", "rust-web-clippy");

/// For the benchmark: a client and a server, and the kernel's own forwarding.
const BENCH: [Need; 2] = [("wrk", "wrk"), ("nft", "nftables")];

/// Installs what tests and demo lack. Starts no services. Returns the names of the programs.
pub fn test_packages() -> Result<String> {
    let needs = needs(Path::new("/usr/share/doc/rustc-web").exists());
    complete("testing", &needs)?;
    let programs: Vec<_> = needs.iter().map(|(program, _)| *program).collect();
    Ok(programs.join(", "))
}

/// Installs what the benchmark lacks.
pub fn bench_packages() -> Result<()> {
    complete("measuring", &[&NEEDS[..], &BENCH].concat())
}

/// Installs what the virtual machine lacks.
pub fn guest_packages() -> Result<()> {
    complete("a guest", &GUEST)
}

fn complete(who: &str, needs: &[Need]) -> Result<()> {
    let has = |program: &str| which(program).is_some();
    let packages = missing(needs, has);
    if !packages.is_empty() {
        install(who, &packages)?;
    }
    let still = missing(needs, has);
    if !still.is_empty() {
        bail!(
            "installed {}, but still miss programs of them",
            still.join(", ")
        );
    }
    Ok(())
}

fn needs(debian_compiler: bool) -> Vec<Need> {
    let clippy = debian_compiler.then_some(CLIPPY);
    NEEDS.into_iter().chain(LABS).chain(clippy).collect()
}

fn missing(needs: &[Need], has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    needs
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect()
}

fn install(who: &str, packages: &[&str]) -> Result<()> {
    let list = packages.join(", ");
    if !has_apt() {
        bail!("{who} needs what Debian's packages {list} bring: install it, then try again");
    }
    if !is_root() {
        bail!(
            "{who} needs packages that only root can install: {list}\nrun: {}",
            apt::advice(packages)
        );
    }
    eprintln!("==> install what {who} needs: {list}");
    let guard = NoServices::begin()?;
    apt::install(packages)?;
    drop(guard);
    let services = ["nginx", "ldirectord"];
    for service in services.iter().filter(|name| packages.contains(name)) {
        if which("systemctl").is_some() {
            // The tests run it in their own namespaces. The machine itself must not run it, now or
            // after a boot. Without systemd, some of these commands fail.
            let _ = Command::new("systemctl")
                .args(["disable", "--now", "--quiet", service])
                .output();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_has_everything_needs_nothing() {
        assert!(missing(&needs(true), |_| true).is_empty());
    }

    #[test]
    fn a_program_that_is_missing_is_asked_for_by_its_package() {
        let packages = missing(&needs(false), |program| program != "ip");
        assert_eq!(packages, ["iproute2"]);
    }

    #[test]
    fn debians_clippy_is_only_for_debians_compiler() {
        assert!(missing(&needs(true), |_| false).contains(&"rust-web-clippy"));
        assert!(!missing(&needs(false), |_| false).contains(&"rust-web-clippy"));
    }
}
