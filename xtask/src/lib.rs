//! What the project's verbs share with lb-ctl's build script: how the eBPF programs are
//! compiled, and with what.

pub mod environment;
pub mod toolchain;

use std::path::PathBuf;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map_or(package.clone(), PathBuf::from)
}
