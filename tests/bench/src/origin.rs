//! The origin of figures: machine, kernel and commit.

use std::{env, fs, process::Command};

use aya::util::online_cpus;
use jiff::{Timestamp, tz::TimeZone};

use super::report::Origin;

/// The word for what cannot be found out.
const UNKNOWN: &str = "unknown";

impl Origin {
    /// The origin of what this process measures. What cannot be found out is `unknown`: that must
    /// not prevent measuring.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        Self {
            cpu: cpu(&cpuinfo),
            cpus: online_cpus().map_or(0, |cpus| cpus.len()),
            kernel: or_unknown(kernel.trim()),
            commit: or_unknown(&commit().unwrap_or_default()),
            date: today.to_string(),
        }
    }
}

/// The CPU's name, and whether this is a virtual machine.
fn cpu(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let mut lines = cpuinfo.lines();
        let (_, value) = lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then_some((key, value.trim()))
        })?;
        Some(value)
    };
    let name = field("model name").map_or_else(|| env::consts::ARCH.to_owned(), str::to_owned);
    let flags = field("flags").unwrap_or_default();
    if flags.split_whitespace().any(|flag| flag == "hypervisor") {
        format!("{name} (virtual machine)")
    } else {
        name
    }
}

/// The commit that is checked out, which is the one that this was built from unless it has changed
/// since.
fn commit() -> Option<String> {
    // All tags are excluded, so that the result is always a hash.
    let arguments = ["describe", "--always", "--dirty=+", "--exclude=*"];
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn or_unknown(text: &str) -> String {
    match text {
        "" => UNKNOWN.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_machine_says_so() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Fast CPU @ 2.30GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpu(cpuinfo), "Fast CPU @ 2.30GHz (virtual machine)");
        let bare = cpuinfo.replace(" hypervisor", "");
        assert_eq!(cpu(&bare), "Fast CPU @ 2.30GHz");
    }

    #[test]
    fn a_cpu_without_a_name_is_of_its_architecture() {
        assert_eq!(cpu("processor\t: 0\n"), env::consts::ARCH);
    }
}
