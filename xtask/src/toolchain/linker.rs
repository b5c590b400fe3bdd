//! Finds a bpf-linker that can read a compiler's bitcode.

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::Compiler;
use crate::environment::which;

/// The version of bpf-linker that this project is built with.
pub const LINKER_VERSION: &str = "0.13.0";

/// The major versions of LLVM that it can be built with.
pub const LINKER_LLVMS: RangeInclusive<u32> = 21..=23;

const NAME: &str = "bpf-linker";

/// A bpf-linker of [`LINKER_VERSION`] that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// Its path.
    pub program: PathBuf,
}

impl Linker {
    /// The one in the cache that was built for this compiler's LLVM. Otherwise the one in PATH: its
    /// LLVM is not known, but released binaries have the newest.
    pub(super) fn find(cache: &Path, compiler: &Compiler) -> Option<Self> {
        let built = Self::folder(cache, compiler.llvm).join("bin").join(NAME);
        [Some(built), which(NAME)]
            .into_iter()
            .flatten()
            .filter(|program| program.is_file())
            .find(|program| runs(program, compiler))
            .map(|program| Self { program })
    }

    /// The directory that one for this LLVM is installed in.
    pub fn folder(cache: &Path, llvm: u32) -> PathBuf {
        cache.join(format!("{NAME}-{LINKER_VERSION}-llvm-{llvm}"))
    }
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} {LINKER_VERSION} ({})", self.program.display())
    }
}

/// A program that exists may fail to run: when the compiler was updated, its LLVM library is gone.
fn runs(program: &Path, compiler: &Compiler) -> bool {
    compiler
        .command(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| {
            output.status.success() && is_pinned(&String::from_utf8_lossy(&output.stdout))
        })
}

fn is_pinned(says: &str) -> bool {
    says.split_whitespace().eq([NAME, LINKER_VERSION])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_version_will_do() {
        assert!(is_pinned("bpf-linker 0.13.0\n"));
        assert!(!is_pinned("bpf-linker 0.13.1\n"));
        assert!(!is_pinned("bpf-linker 0.13.0-dev\n"));
        assert!(!is_pinned(""));
    }

    #[test]
    fn linkers_for_different_llvms_do_not_share_a_folder() {
        let cache = Path::new("/cache");
        assert_eq!(
            Linker::folder(cache, 22),
            Path::new("/cache/bpf-linker-0.13.0-llvm-22")
        );
        assert_ne!(Linker::folder(cache, 22), Linker::folder(cache, 23));
    }
}
