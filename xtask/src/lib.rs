//! The part of xtask that other crates use: how the eBPF programs are compiled, and by
//! which tools, for build scripts; and what verbs hand on, for tests.

pub mod arguments;
pub mod environment;
pub mod toolchain;

use std::path::PathBuf;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map_or(package.clone(), PathBuf::from)
}
