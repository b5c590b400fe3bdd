//! The part of xtask that lb-dataplane's build script uses: how the eBPF programs are compiled, and by
//! which tools.

pub mod environment;
pub mod toolchain;

use std::path::PathBuf;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map_or(package.clone(), PathBuf::from)
}
