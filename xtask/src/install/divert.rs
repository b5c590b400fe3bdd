//! `--divert`: the names in `/usr/sbin`, which ldirectord, init scripts and cron jobs call by
//! their paths. Debian's dpkg-divert moves the files of the package `ipvsadm` aside, now and
//! whenever the package is installed or upgraded, and moves them back.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::names::{BINARY, LINKS};

/// The package has its files in one of these, and after an upgrade perhaps in the other. Where
/// `/usr` is merged, they are one folder with two names, and dpkg-divert has to know both.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Diverts the names in the system below `root`, and links them to the binary.
pub fn divert(root: &Path, binary: &Path, out: &mut impl Write) -> Result<()> {
    for name in LINKS {
        let first = first(root, name);
        let link = below(root, &first);
        // Before its name is diverted: the link is not what has to be put aside.
        if leads(&link).is_some_and(|target| target.file_name() == Some(BINARY.as_ref())) {
            remove(&link)?;
        }
        // The file is moved when the path that the package knows is diverted, so that one is first.
        let others = paths(name).into_iter().filter(|path| *path != first);
        for path in [first.clone()].into_iter().chain(others) {
            if !is_diverted(root, &path)? {
                dpkg_divert(root, &["--add", "--divert", &aside(&path)], &path)?;
            }
        }
        symlink(binary, &link)
            .with_context(|| format!("cannot link {} to {}", link.display(), binary.display()))?;
        writeln!(out, "{} -> {} (diverted)", link.display(), binary.display())?;
    }
    Ok(())
}

/// Takes back what [`divert`] did. Names that lead to something else than the binary are left alone.
pub fn restore(root: &Path, binary: &Path, out: &mut impl Write) -> Result<()> {
    for name in LINKS {
        let paths = paths(name);
        let links = paths.each_ref().map(|path| below(root, path));
        let (ours, others): (Vec<_>, Vec<_>) = links
            .iter()
            .filter(|link| link.symlink_metadata().is_ok())
            .partition(|link| leads(link).is_some_and(|target| target == binary));
        if !others.is_empty() {
            continue;
        }
        // A restore that failed may have removed the link already.
        let mut diverted = Vec::new();
        for path in &paths {
            if is_diverted(root, path)? {
                diverted.push(path);
            }
        }
        if diverted.is_empty() {
            continue;
        }
        ours.into_iter().try_for_each(|link| remove(link))?;
        for path in diverted {
            dpkg_divert(root, &["--remove"], path)?;
        }
        let [link, _] = links;
        if link.exists() {
            writeln!(out, "{} is again what it was", link.display())?;
        } else {
            writeln!(out, "removed {}", link.display())?;
        }
    }
    Ok(())
}

/// The paths of a name.
fn paths(name: &str) -> [String; 2] {
    FOLDERS.map(|folder| format!("{folder}/{name}"))
}

/// Where the file of a path is put. Each path has its own place: two packages' files, or an old and
/// a new one, must not meet.
fn aside(path: &str) -> String {
    let end = if path.starts_with("/usr/") {
        "lvs"
    } else {
        "lvs-sbin"
    };
    format!("{path}.{end}")
}

/// True if a path is diverted by us. Where nothing can be diverted, it is not.
fn is_diverted(root: &Path, path: &str) -> Result<bool> {
    let mut ask = dpkg_divert_below(root);
    match ask.args(["--truename", path]).output() {
        Ok(answer) => {
            let ours = format!("{path}.lvs");
            Ok(String::from_utf8_lossy(&answer.stdout).starts_with(&ours))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("cannot run dpkg-divert"),
    }
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

fn dpkg_divert(root: &Path, what: &[&str], path: &str) -> Result<()> {
    let output = dpkg_divert_below(root)
        .args(["--quiet", "--local", "--rename"])
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

fn dpkg_divert_below(root: &Path) -> Command {
    let mut command = Command::new("dpkg-divert");
    command.arg("--root").arg(root);
    command
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Where a link leads, if it is one.
fn leads(link: &Path) -> Option<PathBuf> {
    fs::read_link(link).ok()
}

/// Removes a link that may be gone already, under its other name.
fn remove(link: &Path) -> Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", link.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system of its own, with merged `/usr`, on which dpkg installs packages named `ipvsadm`.
    struct System(tempfile::TempDir);

    impl System {
        fn new() -> Self {
            let system = Self(tempfile::tempdir().unwrap());
            for folder in ["usr/sbin", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
                fs::create_dir_all(system.root().join(folder)).unwrap();
            }
            symlink("usr/sbin", system.root().join("sbin")).unwrap();
            fs::write(system.root().join("var/lib/dpkg/status"), "").unwrap();
            // dpkg removes folders, and links to folders, that are no package's any more.
            system.install_files("other", "1", &[format!("/sbin/{OTHER}")]);
            system
        }

        fn root(&self) -> &Path {
            self.0.path()
        }

        fn dpkg(&self, words: &[&str]) {
            let mut dpkg = Command::new("dpkg");
            dpkg.arg("--root").arg(self.root()).arg("--force-unsafe-io");
            done(dpkg.args(words));
        }

        /// Installs a version of a package with these files, whose content is the version.
        fn install_files(&self, package: &str, version: &str, files: &[String]) {
            let content = tempfile::tempdir().unwrap();
            let write = |path: &str, text: &str| {
                let path = below(content.path(), path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            let control = format!(
                "Package: {package}\nVersion: {version}\nArchitecture: all\n\
                 Maintainer: x <x@example.com>\nDescription: x\n"
            );
            write("DEBIAN/control", &control);
            for file in files {
                write(file, version);
            }
            let file = content.path().with_extension("deb");
            let mut build = Command::new("dpkg-deb");
            build.args(["-Znone", "--root-owner-group", "--build"]);
            done(build.arg(content.path()).arg(&file));
            self.dpkg(&["--install", file.to_str().unwrap()]);
            fs::remove_file(file).unwrap();
        }

        /// Installs a version of ipvsadm that has its files in this folder.
        fn install(&self, version: &str, folder: &str) {
            let files = LINKS.map(|name| format!("{folder}/{name}"));
            self.install_files("ipvsadm", version, &files);
        }

        fn remove(&self) {
            self.dpkg(&["--remove", "ipvsadm"]);
        }

        fn divert(&self) {
            divert(self.root(), Path::new(LB_CTL), &mut std::io::sink()).unwrap();
        }

        fn restore(&self) {
            restore(self.root(), Path::new(LB_CTL), &mut std::io::sink()).unwrap();
        }

        /// The names in the folder, with what each is: the link's target or the file's content.
        fn files(&self) -> Vec<(String, String)> {
            let entries = fs::read_dir(self.root().join("usr/sbin")).unwrap();
            let mut files: Vec<_> = entries
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_name() != OTHER)
                .map(|entry| {
                    let what = fs::read_link(entry.path())
                        .map(|target| target.to_str().unwrap().to_owned())
                        .or_else(|_| fs::read_to_string(entry.path()));
                    (entry.file_name().into_string().unwrap(), what.unwrap())
                })
                .collect();
            files.sort();
            files
        }

        /// Fails unless the names are ours, and this version of the package, if any, is put aside.
        #[track_caller]
        fn assert_ours(&self, version: Option<&str>) {
            let files = self.files();
            let (ours, aside): (Vec<_>, Vec<_>) =
                files.iter().partition(|(name, _)| !name.contains(".lvs"));
            assert_eq!(ours.len(), LINKS.len(), "{files:?}");
            assert!(ours.iter().all(|(_, what)| what == LB_CTL), "{files:?}");
            let expected = version.map_or(0, |_| LINKS.len());
            assert_eq!(aside.len(), expected, "{files:?}");
            assert!(
                aside.iter().all(|(_, what)| Some(what.as_str()) == version),
                "{files:?}"
            );
        }

        /// Fails unless the names are those of this version of the package, if any, and nothing is
        /// left of ours.
        #[track_caller]
        fn assert_theirs(&self, version: Option<&str>) {
            let mut expected: Vec<_> = version
                .into_iter()
                .flat_map(|version| LINKS.map(|name| (name.to_owned(), version.to_owned())))
                .collect();
            expected.sort();
            assert_eq!(self.files(), expected);
            let diverted = self.root().join("var/lib/dpkg/diversions");
            let left = fs::read_to_string(diverted).unwrap_or_default();
            assert_eq!(left, "");
        }
    }

    #[track_caller]
    fn done(command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    const OTHER: &str = "other";
    const LB_CTL: &str = "/usr/local/sbin/lb-ctl";

    #[test]
    fn the_link_survives_upgrades_and_uninstall_brings_the_new_version() {
        for before in FOLDERS {
            for after in FOLDERS {
                let system = System::new();
                system.install("1", before);
                system.divert();
                system.assert_ours(Some("1"));
                system.install("2", after);
                system.assert_ours(Some("2"));
                // Once more is no harm, also where the package has moved its files.
                system.divert();
                system.assert_ours(Some("2"));
                system.restore();
                system.assert_theirs(Some("2"));
                system.restore();
                system.assert_theirs(Some("2"));
            }
        }
    }

    #[test]
    fn a_package_that_comes_later_overwrites_nothing() {
        for place in FOLDERS {
            let system = System::new();
            system.divert();
            system.assert_ours(None);
            system.install("1", place);
            system.assert_ours(Some("1"));
            system.divert();
            system.assert_ours(Some("1"));
            system.restore();
            system.assert_theirs(Some("1"));
        }
    }

    #[test]
    fn a_package_that_is_removed_takes_nothing_along() {
        for place in FOLDERS {
            for later in [None, Some(FOLDERS[0]), Some(FOLDERS[1])] {
                let system = System::new();
                system.install("1", place);
                system.divert();
                system.remove();
                system.assert_ours(None);
                let version = later.map(|later| {
                    system.install("2", later);
                    "2"
                });
                system.assert_ours(version);
                system.restore();
                system.assert_theirs(version);
            }
        }
    }

    #[test]
    fn a_file_of_no_package_is_put_aside_and_comes_back() {
        let system = System::new();
        for name in LINKS {
            fs::write(system.root().join("usr/sbin").join(name), "built by hand").unwrap();
        }
        system.divert();
        system.assert_ours(Some("built by hand"));
        system.restore();
        system.assert_theirs(Some("built by hand"));
    }

    #[test]
    fn what_was_interrupted_is_finished() {
        for place in FOLDERS {
            let system = System::new();
            system.install("1", place);
            system.divert();
            // As if a divert had ended in the middle of a name, and a restore of another.
            let [diverted, linked, _] = LINKS.map(|name| system.root().join("usr/sbin").join(name));
            let alias = FOLDERS.into_iter().find(|folder| *folder != place).unwrap();
            let path = format!("{alias}/{}", LINKS[0]);
            dpkg_divert(system.root(), &["--remove"], &path).unwrap();
            assert!(diverted.is_symlink());
            fs::remove_file(linked).unwrap();
            system.divert();
            system.assert_ours(Some("1"));
            fs::remove_file(diverted).unwrap();
            system.restore();
            system.assert_theirs(Some("1"));
        }
    }

    #[test]
    fn links_to_another_binary_stay_when_this_one_is_uninstalled() {
        let system = System::new();
        system.install("1", FOLDERS[0]);
        system.divert();
        let other = Path::new("/opt/lb/sbin/lb-ctl");
        restore(system.root(), other, &mut std::io::sink()).unwrap();
        system.assert_ours(Some("1"));
    }
}
