//! Which environment variables a cargo must not inherit from the cargo that started this program.
//!
//! Cargo sets variables that describe the current package for build scripts and for `cargo run`.
//! They would change what another cargo builds.

use std::{env, ffi::OsStr, process::Command};

/// Removes the variables that describe this program's own package. Variables that the user set
/// stay.
pub fn forget_package(command: &mut Command) -> &mut Command {
    forget(command, describes_a_package)
}

/// Removes every variable that changes what a cargo builds, or how.
pub fn forget_build(command: &mut Command) -> &mut Command {
    forget(command, |name| {
        describes_a_package(name) || steers_a_build(name)
    })
}

fn forget(command: &mut Command, leaks: impl Fn(&str) -> bool) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(&leaks) {
            command.env_remove(&name);
        }
    }
    command
}

/// Finds a program by its name.
pub fn which(program: &str) -> Option<std::path::PathBuf> {
    // A user's PATH may lack the directories of programs for root.
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The value of a variable; none if it is empty.
pub fn variable(name: impl AsRef<OsStr>) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The cargo that started this program, or else the one in PATH.
pub fn cargo() -> std::ffi::OsString {
    variable("CARGO").unwrap_or_else(|| "cargo".into())
}

fn describes_a_package(name: &str) -> bool {
    const PREFIXES: [&str; 5] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_FEATURE_",
        "CARGO_CFG_",
        "DEP_",
    ];
    const NAMES: [&str; 12] = [
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC_LINKER",
        "RUSTDOC",
        "TARGET",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn steers_a_build(name: &str) -> bool {
    const PREFIXES: [&str; 5] = [
        "CARGO_BUILD_",
        "CARGO_ENCODED_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CLIPPY_",
    ];
    const NAMES: [&str; 7] = [
        "CARGO_INCREMENTAL",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_flags_and_targets_of_the_outer_build_do_not_leak() {
        for name in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CLIPPY_ARGS",
        ] {
            assert!(steers_a_build(name), "{name}");
            assert!(!describes_a_package(name), "{name}");
        }
    }

    #[test]
    fn the_package_that_cargo_runs_is_not_taken_for_the_one_to_build() {
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_CFG_TARGET_ARCH",
            "CARGO_FEATURE_STD",
            "OUT_DIR",
            "TARGET",
        ] {
            assert!(describes_a_package(name), "{name}");
        }
    }

    #[test]
    fn what_reaches_the_registry_and_shares_the_processors_stays() {
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_HTTP_CAINFO",
            "CARGO_NET_OFFLINE",
            "CARGO_MAKEFLAGS",
            "CARGO_TERM_COLOR",
            "PATH",
            "RUSTUP_HOME",
        ] {
            assert!(!steers_a_build(name), "{name}");
            assert!(!describes_a_package(name), "{name}");
        }
    }
}
