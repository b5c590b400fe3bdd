//! Installs Debian's packages, after asking apt what an install would do.
//!
//! An install that would remove a package is never done.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::run::run;

/// How long to wait until another apt has ended.
const PATIENCE: Duration = Duration::from_secs(120);

/// The command by which a user would install these packages.
pub fn advice(packages: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs packages. Updates the package lists first if they lack one of them.
pub fn install(packages: &[&str]) -> Result<()> {
    let simulation = simulate_with_fresh_lists(packages)?;
    ensure!(
        simulation.removes.is_empty(),
        "installing {} would remove {}: not done",
        packages.join(", "),
        simulation.removes.join(", ")
    );
    install_simulated(packages)
}

/// Installs packages. If that would remove others, unpacks them into a directory instead.
pub fn install_or_unpack(packages: &[&str], folder: &Path) -> Result<()> {
    let simulation = simulate_with_fresh_lists(packages)?;
    if simulation.removes.is_empty() {
        return install_simulated(packages);
    }
    eprintln!(
        "==> installing them would remove {}; unpack them into {} instead",
        simulation.removes.join(", "),
        folder.display()
    );
    unpack(&simulation.installs, folder)
}

/// The effect of an install.
#[derive(Debug, Default, PartialEq, Eq)]
struct Simulation {
    /// Packages that would be installed, each as `name=version`.
    installs: Vec<String>,
    /// Packages that would be removed.
    removes: Vec<String>,
}

fn simulate_with_fresh_lists(packages: &[&str]) -> Result<Simulation> {
    if let Ok(simulation) = simulate(packages) {
        return Ok(simulation);
    }
    update()?;
    simulate(packages)
}

fn simulate(packages: &[&str]) -> Result<Simulation> {
    let output = captured(install_command(packages).arg("--simulate"))?;
    ensure!(
        output.status.success(),
        "apt-get cannot install {}: {}",
        packages.join(", "),
        complaint(&output)
    );
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn install_simulated(packages: &[&str]) -> Result<()> {
    let install = || {
        // The machine may have changed since the simulation: let apt refuse to remove anything.
        let mut command = install_command(packages);
        run("apt-get install", command.arg("--no-remove"))
    };
    if install().is_ok() {
        return Ok(());
    }
    // Old lists name files that the server no longer has.
    update()?;
    install()
}

fn update() -> Result<()> {
    eprintln!("==> apt-get update");
    let start = Instant::now();
    loop {
        let output = captured(&mut apt_get(&["update"]))?;
        if output.status.success() {
            return Ok(());
        }
        let complaint = complaint(&output);
        // `DPkg::Lock::Timeout` does not apply to the lock of the lists.
        if !complaint.contains("Could not get lock") || start.elapsed() > PATIENCE {
            bail!("apt-get update failed: {complaint}");
        }
        thread::sleep(Duration::from_secs(2));
    }
}

/// The first package that another depends on.
pub fn first_dependency(package: &str) -> Result<String> {
    let ask = || captured(Command::new("apt-cache").args(["depends", "--important", package]));
    let mut output = ask()?;
    if !output.status.success() {
        update()?;
        output = ask()?;
    }
    dependency(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("apt knows nothing that {package} depends on"))
}

/// Downloads packages and unpacks them into a directory, which replaces one of the same name.
pub fn unpack(packages: &[String], folder: &Path) -> Result<()> {
    let new = folder.with_extension("new");
    let debs = folder.with_extension("debs");
    for place in [&new, &debs] {
        clear(place)?;
        fs::create_dir_all(place).with_context(|| format!("cannot create {}", place.display()))?;
    }
    // apt's own user cannot write to a directory of root's cache.
    let mut download = apt_get(&["-o", "APT::Sandbox::User=root", "--quiet", "download"]);
    run(
        "apt-get download",
        download.args(packages).current_dir(&debs),
    )?;
    for deb in fs::read_dir(&debs)? {
        let deb = deb?.path();
        let mut extract = Command::new("dpkg-deb");
        run("dpkg-deb", extract.arg("--extract").arg(&deb).arg(&new))?;
    }
    // Renamed into place as a whole, so that nobody finds a half of a compiler.
    clear(folder)?;
    fs::rename(&new, folder).with_context(|| format!("cannot create {}", folder.display()))?;
    clear(&debs)
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn install_command(packages: &[&str]) -> Command {
    let mut command = apt_get(&["--quiet", "--yes", "--no-install-recommends", "install"]);
    command.args(packages);
    command
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn captured(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("cannot run {:?}", command.get_program()))
}

/// The lines of apt's output that say what is wrong.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> = text.lines().filter(|line| line.starts_with("E:")).collect();
    if errors.is_empty() {
        text.trim().to_owned()
    } else {
        errors.join("; ")
    }
}

/// Reads the output of `apt-get --simulate install`. A version in brackets is the installed one.
fn parse(text: &str) -> Simulation {
    let mut simulation = Simulation::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("Inst"), Some(name), Some(version)) if version.starts_with('(') => {
                let version = version.trim_start_matches('(');
                simulation.installs.push(format!("{name}={version}"));
            }
            (Some("Remv"), Some(name), _) => simulation.removes.push(name.to_owned()),
            _ => {}
        }
    }
    simulation
}

/// Reads the first dependency in the output of `apt-cache depends`.
fn dependency(text: &str) -> Option<String> {
    let mut lines = text.lines();
    let first = lines.find_map(|line| line.trim().strip_prefix("Depends: "))?;
    Some(first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_depends_on_is_the_first_that_apt_names() {
        let text = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n";
        let expected = "linux-image-6.1.0-56-amd64".to_owned();
        assert_eq!(dependency(text), Some(expected));
        assert_eq!(dependency("busybox\n"), None);
    }

    /// The output of apt 2.6, Debian 12.
    const CONFLICT: &str = "\
Reading package lists...
The following packages will be REMOVED:
  rustc
0 upgraded, 2 newly installed, 1 to remove and 133 not upgraded.
Inst libc6 [2.36-9] (2.36-9+deb12u13 Debian:12.15/oldstable [amd64]) []
Inst libstd-rust-web-dev (1.96.0+dfsg1-1~deb12u2 Debian-Security:12/oldstable-security [amd64])
Remv rustc [1.63.0+dfsg1-2] [cargo:amd64 ]
Inst rustc-web (1.96.0+dfsg1-1~deb12u2 Debian-Security:12/oldstable-security [amd64])
Conf rustc-web (1.96.0+dfsg1-1~deb12u2 Debian-Security:12/oldstable-security [amd64])
";

    #[test]
    fn what_an_install_would_remove_is_seen() {
        assert_eq!(parse(CONFLICT).removes, ["rustc"]);
    }

    #[test]
    fn what_would_be_new_is_listed_with_its_version_but_not_what_would_be_upgraded() {
        assert_eq!(
            parse(CONFLICT).installs,
            [
                "libstd-rust-web-dev=1.96.0+dfsg1-1~deb12u2",
                "rustc-web=1.96.0+dfsg1-1~deb12u2"
            ]
        );
    }

    #[test]
    fn nothing_to_do_is_an_empty_simulation() {
        let text = "curl is already the newest version (7.88.1-10+deb12u15).\n\
                    0 upgraded, 0 newly installed, 0 to remove and 132 not upgraded.\n";
        assert_eq!(parse(text), Simulation::default());
    }
}
