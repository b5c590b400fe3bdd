//! Prevents that the installation of a package starts its service.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Before a package starts a service, it runs this program. Exit code 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const NO: &str = "#!/bin/sh\n# Of `cargo xtask setup`, while it installs packages.\nexit 101\n";

/// While this value exists, newly installed packages start no services. A policy that the machine
/// already has stays.
#[derive(Debug)]
pub struct NoServices {
    file: Option<PathBuf>,
}

impl NoServices {
    /// Forbids services to start.
    pub fn begin() -> Result<Self> {
        Self::begin_at(Path::new(POLICY))
    }

    fn begin_at(file: &Path) -> Result<Self> {
        let create = || {
            let mut new = OpenOptions::new().write(true).create_new(true).open(file)?;
            new.write_all(NO.as_bytes())?;
            new.set_permissions(Permissions::from_mode(0o755))
        };
        let ours = match create() {
            Ok(()) => true,
            // It was left by a setup that was killed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::read_to_string(file).is_ok_and(|text| text == NO)
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot create {}", file.display()));
            }
        };
        Ok(Self {
            file: ours.then(|| file.to_owned()),
        })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && let Err(error) = fs::remove_file(file)
        {
            eprintln!(
                "cannot remove {} ({error}): remove it, or no service will start",
                file.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is removed afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("xtask-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a temporary folder");
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_policy_is_there_while_it_is_needed() {
        let folder = Folder::new("policy");
        let file = folder.0.join("policy-rc.d");
        let guard = NoServices::begin_at(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), NO);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o755
        );
        drop(guard);
        assert!(!file.exists());
    }

    #[test]
    fn a_policy_of_the_machine_stays() {
        let folder = Folder::new("machine-policy");
        let file = folder.0.join("policy-rc.d");
        fs::write(&file, "#!/bin/sh\nexit 104\n").unwrap();
        drop(NoServices::begin_at(&file).unwrap());
        assert!(file.exists());
    }

    #[test]
    fn what_a_killed_setup_left_is_removed() {
        let folder = Folder::new("left-policy");
        let file = folder.0.join("policy-rc.d");
        fs::write(&file, NO).unwrap();
        drop(NoServices::begin_at(&file).unwrap());
        assert!(!file.exists());
    }
}
