//! `--divert`: the names in `/usr/sbin`, which ldirectord, init scripts and cron jobs call by
//! their paths. Debian's dpkg-divert moves the files of the package `ipvsadm` aside, now and
//! whenever the package is installed or upgraded, and moves them back.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::names::{BINARY, LINKS};

/// The package has its files in one of these; where `/usr` is merged, they are one folder with two
/// names, and dpkg-divert has to know both.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Diverts the names in the system below `root`, and links them to the binary.
pub fn divert(root: &Path, binary: &Path, out: &mut impl Write) -> Result<()> {
    for name in LINKS {
        for (path, aside) in diversions(root, name) {
            dpkg_divert(root, &["--add"], &path, &aside)?;
        }
        let link = below(root, &first(root, name));
        if is_ours(&link) {
            fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
        }
        symlink(binary, &link)
            .with_context(|| format!("cannot link {} to {}", link.display(), binary.display()))?;
        writeln!(out, "{} -> {} (diverted)", link.display(), binary.display())?;
    }
    Ok(())
}

/// Takes back what [`divert`] did. Where the names are not ours, nothing is done.
pub fn restore(root: &Path, out: &mut impl Write) -> Result<()> {
    for name in LINKS {
        let link = below(root, &first(root, name));
        if !is_ours(&link) {
            continue;
        }
        fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
        for (path, aside) in diversions(root, name).into_iter().rev() {
            dpkg_divert(root, &["--remove"], &path, &aside)?;
        }
        writeln!(out, "{} is the package's again", link.display())?;
    }
    Ok(())
}

/// Each path of a name, and where its file is put aside. The path that the package knows is the
/// first one: its file is what is moved.
fn diversions(root: &Path, name: &str) -> Vec<(String, String)> {
    let first = first(root, name);
    let paths = FOLDERS.map(|folder| format!("{folder}/{name}"));
    let mut all = vec![(first.clone(), format!("{first}.lvs"))];
    let others = paths.into_iter().filter(|path| *path != first);
    all.extend(others.map(|path| {
        let aside = format!("{path}.lvs-alias");
        (path, aside)
    }));
    all
}

/// The path that the package knows, or would have.
fn first(root: &Path, name: &str) -> String {
    let [usr, old] = FOLDERS.map(|folder| format!("{folder}/{name}"));
    let known = Command::new("dpkg-query")
        .arg("--root")
        .arg(root)
        .args(["--search", &old])
        .output();
    // A diversion is in the answer, too, as `local diversion from: PATH`.
    let is_known = known.is_ok_and(|known| {
        let answer = String::from_utf8_lossy(&known.stdout);
        let mut lines = answer.lines().filter(|line| !line.contains("diversion "));
        lines.any(|line| line.ends_with(&format!(": {old}")))
    });
    if is_known { old } else { usr }
}

fn dpkg_divert(root: &Path, what: &[&str], path: &str, aside: &str) -> Result<()> {
    let output = Command::new("dpkg-divert")
        .arg("--root")
        .arg(root)
        .args(["--quiet", "--local", "--rename", "--divert", aside])
        .args(what)
        .arg(path)
        .output()
        .context("cannot run dpkg-divert: `--divert` works on Debian and its descendants only")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("dpkg-divert {what:?} {path} failed: {}", said.trim());
    }
    Ok(())
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn is_ours(link: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target.file_name().is_some_and(|name| name == BINARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system with merged `/usr`, in which the package has its files at these paths.
    fn system(packaged: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| below(root.path(), path);
        fs::create_dir_all(at("/usr/sbin")).unwrap();
        symlink("usr/sbin", at("/sbin")).unwrap();
        let info = at("/var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        fs::create_dir_all(at("/var/lib/dpkg/updates")).unwrap();
        let mut status = String::new();
        if let Some(folder) = packaged {
            status = "Package: ipvsadm\nStatus: install ok installed\nArchitecture: all\n\
                      Version: 1\nMaintainer: x <x@example.com>\nDescription: x\n\n"
                .to_owned();
            let paths = LINKS.map(|name| format!("{folder}/{name}\n"));
            fs::write(info.join("ipvsadm.list"), paths.concat()).unwrap();
            for name in LINKS {
                fs::write(at(&format!("/usr/sbin/{name}")), "the package's").unwrap();
            }
        }
        fs::write(at("/var/lib/dpkg/status"), status).unwrap();
        root
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(root.join("usr/sbin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_packages_files_are_put_aside_and_come_back() {
        for packaged in [Some("/usr/sbin"), Some("/sbin"), None] {
            let root = system(packaged);
            let root = root.path();
            let before = names(root);
            let binary = Path::new("/usr/local/sbin/lb-ctl");
            // Twice is as good as once.
            for _ in 0..2 {
                divert(root, binary, &mut std::io::sink()).unwrap();
            }
            for name in LINKS {
                let link = root.join("usr/sbin").join(name);
                assert_eq!(fs::read_link(&link).unwrap(), binary, "{packaged:?}");
                let aside = root.join("usr/sbin").join(format!("{name}.lvs"));
                assert_eq!(aside.exists(), packaged.is_some(), "{packaged:?}");
            }
            restore(root, &mut std::io::sink()).unwrap();
            assert_eq!(names(root), before, "{packaged:?}");
            let diverted = root.join("var/lib/dpkg/diversions");
            let left = fs::read_to_string(diverted).unwrap_or_default();
            assert_eq!(left, "", "{packaged:?}");
            // What is not ours stays.
            restore(root, &mut std::io::sink()).unwrap();
            assert_eq!(names(root), before, "{packaged:?}");
        }
    }
}
