//! The guest's initial file system: the modules that it needs to read the host's files, and a
//! script that makes these its root.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::archive::Archive;
use crate::run::run;

const INIT: &str = include_str!("init.sh");
const MODULES: [&str; 5] = ["virtio_pci", "virtio_rng", "9pnet_virtio", "9p", "overlay"];
const BUSYBOX: [&str; 2] = ["bin/busybox", "usr/bin/busybox"];

/// Writes the file that tells `modprobe` which module needs which.
pub fn index(root: &Path, release: &str) -> Result<()> {
    let mut depmod = Command::new("depmod");
    run("depmod", depmod.arg("-b").arg(root).arg(release))
}

/// Writes the archive.
pub fn write(root: &Path, release: &str, to: &Path) -> Result<()> {
    // Written under another name first, so that an incomplete archive is never used.
    let new = to.with_extension("new");
    let out = File::create(&new).with_context(|| format!("cannot create {}", new.display()))?;
    let mut archive = Archive::new(BufWriter::new(out));
    for directory in ["bin", "modules", "proc", "sys", "dev", "lo", "rw", "new"] {
        archive.directory(directory)?;
    }
    let busybox = BUSYBOX.iter().map(|path| root.join(path));
    let busybox = busybox.into_iter().find(|path| path.is_file());
    let busybox = busybox.context("the package has no busybox")?;
    archive.file("bin/busybox", &read(&busybox)?)?;
    let mut order = String::new();
    for module in modules(root, release)? {
        let name = Path::new(&module).file_name().context("a module's name")?;
        let name = name.to_string_lossy();
        archive.file(&format!("modules/{name}"), &read(module.as_ref())?)?;
        order += &format!("{name}\n");
    }
    archive.file("modules/order", order.as_bytes())?;
    archive.file("init", INIT.as_bytes())?;
    archive.finish()?;
    Ok(fs::rename(&new, to)?)
}

/// The modules' files. Each comes after those that it needs.
fn modules(root: &Path, release: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for module in MODULES {
        let output = Command::new("modprobe")
            .args(["--set-version", release, "--show-depends", "--dirname"])
            .arg(root)
            .arg(module)
            .output()
            .context("cannot run modprobe")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "modprobe {module}: {error}");
        let text = String::from_utf8_lossy(&output.stdout);
        let needed = text.lines().filter_map(|line| line.strip_prefix("insmod "));
        for file in needed.filter_map(|rest| rest.split_whitespace().next()) {
            if !files.iter().any(|known| known == file) {
                files.push(file.to_owned());
            }
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
