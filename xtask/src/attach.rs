//! `attach`: builds the director and runs it in the foreground.

use std::{ffi::OsString, process::Command};

use anyhow::{Result, bail};

use crate::{build, failure::Usage, run::become_command, setup};

const USAGE: &str = "usage: cargo xtask attach --interface IF --config FILE [ARGS...]";

/// Builds, then replaces this process by `lb-ctl run` with these arguments.
pub fn verb(arguments: &[OsString]) -> Result<()> {
    check(arguments)?;
    setup::toolchain()?;
    let binary = build::build()?;
    become_command(Command::new(binary).arg("run").args(arguments))
}

fn check(arguments: &[OsString]) -> Result<()> {
    for option in ["--interface", "--config"] {
        if !has_value(arguments, option) {
            bail!(Usage(format!("{option} is missing\n{USAGE}")));
        }
    }
    Ok(())
}

fn has_value(arguments: &[OsString], option: &str) -> bool {
    arguments.iter().enumerate().any(|(place, argument)| {
        let Some(argument) = argument.to_str() else {
            return false;
        };
        match argument.strip_prefix(option) {
            Some("") => arguments.get(place + 1).is_some(),
            Some(rest) => rest.len() > 1 && rest.starts_with('='),
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(arguments: &str) -> bool {
        let arguments: Vec<_> = arguments.split_whitespace().map(OsString::from).collect();
        check(&arguments).is_ok()
    }

    #[test]
    fn both_options_are_needed_with_their_values() {
        assert!(accepts("--interface eth0 --config lb.yaml"));
        assert!(accepts("--config=lb.yaml --interface=eth0 --mode generic"));
        assert!(!accepts(""));
        assert!(!accepts("--interface eth0"));
        assert!(!accepts("--config lb.yaml"));
        assert!(!accepts("--config lb.yaml --interface"));
        assert!(!accepts("--config lb.yaml --interface="));
        assert!(!accepts("--config lb.yaml --interfaces eth0"));
    }
}
