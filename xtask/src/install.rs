//! `install` and `uninstall`: lb-ctl, and links to it under ipvsadm's names.

mod divert;
mod names;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use self::names::{BINARY, LINKS};
use crate::{build, failure::Usage, setup};

const PREFIX: &str = "/usr/local";
const ROOT: &str = "/";

/// Builds and installs.
pub fn install(arguments: &[OsString]) -> Result<()> {
    let (arguments, divert) = without_divert(arguments);
    let folder = folder("install", &arguments)?;
    setup::toolchain()?;
    let binary = build::build()?;
    put(&binary, &folder, &mut io::stdout())?;
    if divert {
        return divert::divert(ROOT.as_ref(), &folder.join(BINARY), &mut io::stdout());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let first = env::split_paths(&path)
        .map(|folder| folder.join(LINKS[0]))
        .find(|path| path.exists());
    let mut out = io::stdout();
    match first {
        Some(path) if path == folder.join(LINKS[0]) => {}
        Some(path) => writeln!(out, "note: `ipvsadm` in your PATH is {}", path.display())?,
        None => writeln!(out, "note: {} is not in your PATH", folder.display())?,
    }
    Ok(())
}

/// Removes what [`install`] installed, and nothing else.
pub fn uninstall(arguments: &[OsString]) -> Result<()> {
    let folder = folder("uninstall", arguments)?;
    divert::restore(ROOT.as_ref(), &folder.join(BINARY), &mut io::stdout())?;
    take_away(&folder, &mut io::stdout())
}

/// The arguments besides `--divert`, and whether that was among them.
fn without_divert(arguments: &[OsString]) -> (Vec<OsString>, bool) {
    let others = arguments.iter().filter(|argument| *argument != "--divert");
    let others: Vec<_> = others.cloned().collect();
    let divert = others.len() < arguments.len();
    (others, divert)
}

fn folder(verb: &str, arguments: &[OsString]) -> Result<PathBuf> {
    let prefix = match arguments {
        [] => PREFIX.into(),
        [option, prefix] if option == "--prefix" => PathBuf::from(prefix),
        [argument] => match argument.to_str().and_then(|a| a.strip_prefix("--prefix=")) {
            Some(prefix) => PathBuf::from(prefix),
            None => bail!(usage(verb, arguments)),
        },
        _ => bail!(usage(verb, arguments)),
    };
    if prefix.as_os_str().is_empty() {
        bail!(usage(verb, arguments));
    }
    Ok(std::path::absolute(prefix.join("sbin"))?)
}

fn usage(verb: &str, arguments: &[OsString]) -> Usage {
    Usage(format!(
        "`{verb}` takes `--prefix DIR` (default {PREFIX}){}, but got {arguments:?}",
        if verb == "install" {
            " and `--divert`"
        } else {
            ""
        }
    ))
}

/// Installs the binary, replacing another file in one step; and the links, except where another
/// program has the name.
fn put(binary: &Path, folder: &Path, out: &mut impl Write) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let place = folder.join(BINARY);
    let beside = folder.join(format!(".{BINARY}.new"));
    let copied = fs::copy(binary, &beside)
        .and_then(|_| fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&beside, &place));
    if let Err(error) = copied {
        let _ = fs::remove_file(&beside);
        return Err(error).with_context(|| format!("cannot put {} in place", place.display()));
    }
    writeln!(out, "{}", place.display())?;
    for name in LINKS {
        let link = folder.join(name);
        if is_ours(&link) {
            writeln!(out, "{} -> {BINARY} (already there)", link.display())?;
            continue;
        }
        match symlink(BINARY, &link) {
            Ok(()) => writeln!(out, "{} -> {BINARY}", link.display())?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => writeln!(
                out,
                "{} is another program and was not changed: use `lb-ctl ipvsadm` instead",
                link.display()
            )?,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot link {}", link.display()));
            }
        }
    }
    Ok(())
}

fn take_away(folder: &Path, out: &mut impl Write) -> Result<()> {
    let links = LINKS.map(|name| folder.join(name));
    let mut ours: Vec<_> = links.into_iter().filter(|link| is_ours(link)).collect();
    let binary = folder.join(BINARY);
    if binary.exists() {
        ours.push(binary);
    }
    if ours.is_empty() {
        writeln!(out, "there is nothing to remove in {}", folder.display())?;
    }
    for path in ours {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        writeln!(out, "removed {}", path.display())?;
    }
    Ok(())
}

fn is_ours(link: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target == Path::new(BINARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_prefix_may_be_written_both_ways() {
        let folder = |words: &[&str]| folder("install", &arguments(words)).ok();
        assert_eq!(folder(&[]), Some("/usr/local/sbin".into()));
        assert_eq!(
            folder(&["--prefix", "/opt/lb"]),
            Some("/opt/lb/sbin".into())
        );
        assert_eq!(folder(&["--prefix=/opt/lb"]), Some("/opt/lb/sbin".into()));
        for wrong in [
            &["--prefix"][..],
            &["--prefix="],
            &["/opt"],
            &["--prefix", "/a", "b"],
        ] {
            assert_eq!(folder(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn diverting_is_asked_for() {
        for (words, others, divert) in [
            (&["--divert"][..], &[][..], true),
            (&["--prefix", "/x", "--divert"], &["--prefix", "/x"], true),
            (&["--prefix", "/x"], &["--prefix", "/x"], false),
        ] {
            let expected = (arguments(others), divert);
            assert_eq!(without_divert(&arguments(words)), expected);
        }
        assert!(folder("uninstall", &arguments(&["--divert"])).is_err());
    }

    #[test]
    fn what_is_installed_is_taken_away_again_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (built, folder) = (place.path().join("built"), place.path().join("sbin"));
        fs::write(&built, "1").unwrap();
        fs::create_dir(&folder).unwrap();
        // Files of other programs, one of them a link.
        fs::write(folder.join("ipvsadm"), "real").unwrap();
        symlink("ipvsadm", folder.join("ipvsadm-save")).unwrap();
        let mut said = Vec::new();
        put(&built, &folder, &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(
            said.matches("another program and was not changed").count(),
            2,
            "{said}"
        );
        assert_eq!(fs::read_to_string(folder.join("ipvsadm")).unwrap(), "real");
        let restore = folder.join("ipvsadm-restore");
        assert_eq!(fs::read_link(&restore).unwrap(), Path::new("lb-ctl"));
        assert_eq!(fs::read_to_string(&restore).unwrap(), "1");

        // A second install replaces the binary by a new file.
        let before = fs::File::open(folder.join("lb-ctl")).unwrap();
        fs::write(&built, "2").unwrap();
        put(&built, &folder, &mut io::sink()).unwrap();
        assert_eq!(fs::read_to_string(&restore).unwrap(), "2");
        assert_eq!(io::read_to_string(before).unwrap(), "1");

        take_away(&folder, &mut io::sink()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["ipvsadm", "ipvsadm-save"]);
        let mut said = Vec::new();
        take_away(&folder, &mut said).unwrap();
        assert!(said.starts_with(b"there is nothing to remove in"));
    }
}
