//! The facts about this machine that decide where a toolchain can come from.

use std::{fs, path::Path};

use anyhow::Result;
use xtask::{environment::which, toolchain::Survey};

/// What is on this machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The compilers and linkers.
    pub survey: Survey,
    /// It is Debian 12 or later, with apt, which packages a compiler with `core` for BPF.
    pub debian: bool,
    /// This process may install packages.
    pub root: bool,
    /// rustup is installed.
    pub rustup: bool,
}

impl Machine {
    /// Looks at the machine; changes nothing.
    pub fn look() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Ok(Self {
            survey: Survey::take()?,
            debian: is_debian(&release) && which("apt-get").is_some(),
            root: is_root(),
            rustup: which("rustup").is_some(),
        })
    }
}

/// Whether this process may install packages.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_user(&status) == Some(0)
}

/// Whether packages can be installed with apt at all.
pub fn has_apt() -> bool {
    which("apt-get").is_some() && Path::new("/var/lib/dpkg/status").exists()
}

fn effective_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

/// Debian's testing and unstable have no version number: they are later than all.
fn is_debian(os_release: &str) -> bool {
    let field = |name| {
        os_release
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim_matches('"'))
    };
    field("ID") == Some("debian")
        && field("VERSION_ID").is_none_or(|version| {
            version
                .split('.')
                .next()
                .and_then(|major| major.parse::<u32>().ok())
                .is_some_and(|major| major >= 12)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_counts_from_version_12() {
        assert!(is_debian(
            "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n"
        ));
        assert!(is_debian("ID=debian\nVERSION_ID=\"13.1\"\n"));
        assert!(is_debian(
            "PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n"
        ));
        assert!(!is_debian("ID=debian\nVERSION_ID=\"11\"\n"));
        assert!(!is_debian(
            "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n"
        ));
        assert!(!is_debian(""));
    }

    #[test]
    fn root_is_who_the_effective_user_says() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_user("Uid:\t0\t65534\t0\t0\n"), Some(65534));
        assert_eq!(effective_user(""), None);
    }
}
