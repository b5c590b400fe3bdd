//! Decides the next step of a setup from the facts about the machine.
//!
//! Pure: nothing here looks or acts. A step that was tried is not tried again.

use std::fmt;

use anyhow::Result;
use xtask::toolchain::{Compiler, Core, LINKER_VERSION, Toolchain, cache, unpacked};

use super::{apt, linker, machine::Machine, nightly};

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is missing.
    Ready(Toolchain),
    /// Do this step.
    Do(Step),
    /// No step would help. The user can choose one of these commands.
    Stuck(Vec<String>),
}

/// A step of a setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Build bpf-linker for this compiler.
    BuildLinker(Compiler),
    /// Install Debian's compiler.
    Debian,
    /// Install rustup's nightly, with the source of `core`.
    Nightly,
}

/// Debian's compiler, with core for BPF, and its clippy.
const DEBIAN: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];

/// Decides the next action. A complete toolchain is used as it is. Otherwise a compiler that lacks
/// only its linker is preferred, then Debian's compiler, which needs no rustup, then rustup's
/// nightly.
pub fn next(machine: &Machine, tried: &[Step]) -> Next {
    if let Some(toolchain) = machine.survey.toolchain() {
        return Next::Ready(toolchain);
    }
    let compilers = || {
        machine
            .survey
            .compilers
            .iter()
            .map(|(compiler, _)| compiler)
    };
    let debian = machine.debian
        && machine.root
        && compilers().all(|compiler| compiler.core != Core::Prebuilt);
    let nightly = machine.rustup && compilers().next().is_none();
    compilers()
        .map(|compiler| Step::BuildLinker(compiler.clone()))
        .chain(debian.then_some(Step::Debian))
        .chain(nightly.then_some(Step::Nightly))
        .find(|step| !tried.contains(step))
        .map_or_else(|| Next::Stuck(ways(machine)), Next::Do)
}

fn ways(machine: &Machine) -> Vec<String> {
    if let Some((compiler, _)) = machine.survey.compilers.first() {
        return vec![
            format!(
                "LLVM_PREFIX=<where LLVM {0} is> cargo install bpf-linker \
                 --version {LINKER_VERSION} --no-default-features --features llvm-{0}",
                compiler.llvm
            ),
            format!("cargo binstall bpf-linker@{LINKER_VERSION}"),
        ];
    }
    let debian = machine.debian.then(|| apt::advice(DEBIAN));
    let source = nightly::INSTALL.join(" ");
    let rustup = if machine.rustup {
        source
    } else {
        format!("(after installing rustup) {source}")
    };
    debian.into_iter().chain([rustup]).collect()
}

/// The commands that the user can choose from, as the end of an error message.
pub fn advice(ways: &[String]) -> String {
    format!("run: {}\nthen: cargo xtask setup", ways.join("\n or: "))
}

impl Step {
    /// Does the step.
    pub fn take(&self) -> Result<()> {
        match self {
            Self::BuildLinker(compiler) => linker::build(compiler),
            Self::Debian => apt::install_or_unpack(DEBIAN, &unpacked(&cache()?)),
            Self::Nightly => nightly::install(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildLinker(compiler) => write!(
                f,
                "build bpf-linker {LINKER_VERSION} for LLVM {} (once, a minute or two)",
                compiler.llvm
            ),
            Self::Debian => write!(f, "get Debian's Rust compiler ({})", DEBIAN.join(", ")),
            Self::Nightly => f.write_str("get rustup's nightly with rust-src"),
        }
    }
}

#[cfg(test)]
mod tests {
    use xtask::toolchain::{Linker, Survey};

    use super::*;

    fn compiler(core: Core) -> Compiler {
        let rustc = match core {
            Core::Source => "/opt/rustup/toolchains/nightly/bin/rustc",
            Core::Prebuilt => "/usr/bin/rustc",
        };
        Compiler {
            rustc: rustc.into(),
            release: "1.96.0".into(),
            llvm: 22,
            core,
            libraries: None,
        }
    }

    fn nightly() -> Compiler {
        compiler(Core::Source)
    }

    fn debian() -> Compiler {
        compiler(Core::Prebuilt)
    }

    fn linker() -> Option<Linker> {
        Some(Linker {
            program: "/cache/bpf-linker".into(),
        })
    }

    /// A Debian machine with rustup, where the user is root, with these compilers.
    fn machine<const N: usize>(compilers: [(Compiler, Option<Linker>); N]) -> Machine {
        Machine {
            survey: Survey {
                compilers: compilers.into(),
                rejected: Vec::new(),
            },
            debian: true,
            root: true,
            rustup: true,
        }
    }

    #[test]
    fn a_complete_toolchain_needs_nothing() {
        let machine = machine([(nightly(), None), (debian(), linker())]);
        let Next::Ready(toolchain) = next(&machine, &[]) else {
            panic!("not ready");
        };
        assert_eq!(toolchain.compiler, debian());
    }

    #[test]
    fn a_compiler_without_linker_gets_one_before_another_compiler_is_got() {
        let machine = machine([(nightly(), None)]);
        assert_eq!(next(&machine, &[]), Next::Do(Step::BuildLinker(nightly())));
    }

    #[test]
    fn a_bare_debian_gets_debians_compiler_though_it_has_rustup() {
        assert_eq!(next(&machine([]), &[]), Next::Do(Step::Debian));
    }

    #[test]
    fn where_debian_has_no_compiler_rustup_is_asked() {
        let tried = [Step::Debian];
        assert_eq!(next(&machine([]), &tried), Next::Do(Step::Nightly));
    }

    #[test]
    fn packages_are_not_for_users_who_are_not_root() {
        let machine = Machine {
            root: false,
            ..machine([])
        };
        assert_eq!(next(&machine, &[]), Next::Do(Step::Nightly));
    }

    #[test]
    fn a_nightly_whose_linker_cannot_be_built_is_passed_over_for_debians() {
        let tried = [Step::BuildLinker(nightly())];
        let machine = machine([(nightly(), None)]);
        assert_eq!(next(&machine, &tried), Next::Do(Step::Debian));
    }

    #[test]
    fn what_did_not_help_is_not_tried_again() {
        let tried = [Step::BuildLinker(debian())];
        let stuck = next(&machine([(debian(), None)]), &tried);
        assert!(matches!(stuck, Next::Stuck(_)), "{stuck:?}");
        let tried = [Step::Debian, Step::Nightly];
        let stuck = next(&machine([]), &tried);
        assert!(matches!(stuck, Next::Stuck(_)), "{stuck:?}");
    }

    #[test]
    fn who_is_stuck_is_told_what_to_run() {
        let machine = Machine {
            root: false,
            rustup: false,
            ..machine([])
        };
        let Next::Stuck(ways) = next(&machine, &[]) else {
            panic!("not stuck");
        };
        let advice = advice(&ways);
        assert!(advice.contains("apt-get install"), "{advice}");
        assert!(advice.contains("--component rust-src"), "{advice}");
        assert!(advice.ends_with("then: cargo xtask setup"), "{advice}");
    }

    #[test]
    fn elsewhere_than_on_debian_apt_is_not_mentioned() {
        let machine = Machine {
            debian: false,
            rustup: false,
            ..machine([])
        };
        let Next::Stuck(ways) = next(&machine, &[]) else {
            panic!("not stuck");
        };
        assert!(!advice(&ways).contains("apt-get"));
    }
}
