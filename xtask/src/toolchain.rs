//! Compiles Rust for the kernel, with a compiler that has `core` for BPF, and bpf-linker.
//!
//! There are two kinds of such compilers. rustup's nightly with `rust-src` compiles `core` together
//! with the program. Debian's `rustc-web` brings it compiled. bpf-linker is in a cache outside the
//! clone. It is linked with the LLVM of the compiler, because it must read that LLVM's bitcode.
//!
//! Nothing here installs anything: `cargo xtask setup` does.

mod compiler;
mod linker;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

pub use self::{
    compiler::{Compiler, Core, unpacked},
    linker::{LINKER_LLVMS, LINKER_VERSION, Linker},
};
use crate::{environment, root};

/// The compilers' name for the kernel's instruction set.
pub const TARGET: &str = "bpfel-unknown-none";

/// The packages that are compiled for the kernel. Each makes one object with the package's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// The director's program.
    Director,
    /// The benchmark's program.
    Bench,
}

impl Package {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Director, Self::Bench];

    /// The package's name, and the object's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Director => "lb-ebpf",
            Self::Bench => "lb-bench-ebpf",
        }
    }
}

/// The target directory for eBPF, in the target directory that `place` belongs to. All profiles,
/// build scripts and verbs share it, so that each object is compiled once. It must differ from the
/// outer target directory: the cargo that runs a build script holds that one's lock.
#[must_use]
pub fn target_dir(place: &Path) -> PathBuf {
    // Cargo writes this file into each of its target directories.
    let mut above = place.ancestors();
    let target = above.find(|directory| directory.join("CACHEDIR.TAG").is_file());
    target.unwrap_or(place).join("ebpf")
}

/// Compiles a package, and returns the path of the object.
pub fn build_ebpf(package: Package, target_dir: &Path) -> Result<PathBuf> {
    let survey = Survey::take()?;
    let Some(toolchain) = survey.toolchain() else {
        bail!("cannot compile eBPF: {survey}\nrun: cargo xtask setup");
    };
    toolchain.build(package, target_dir)
}

/// A compiler, and a linker for its LLVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Compiles to bitcode of LLVM.
    pub compiler: Compiler,
    /// Makes an object of the bitcode, which the kernel loads.
    pub linker: Linker,
}

impl Toolchain {
    /// As [`build_ebpf`], with this toolchain.
    pub fn build(&self, package: Package, target_dir: &Path) -> Result<PathBuf> {
        let name = package.name();
        let mut command = self.cargo(target_dir, &["build"], &[]);
        command.args(["--package", name]);
        self.run(command, "compile", name)?;
        Ok(target_dir.join(TARGET).join("release").join(name))
    }

    /// Checks all packages. Warnings are errors: clippy's where the compiler has a clippy,
    /// otherwise the compiler's own.
    pub fn lint(&self, target_dir: &Path) -> Result<()> {
        let packages = Package::ALL.map(Package::name);
        let chosen = packages.map(|name| ["--package", name]);
        let command = match self.compiler.clippy() {
            Some(clippy) => {
                let mut command = self.cargo_as(clippy.as_ref(), target_dir, &["clippy"], &[]);
                command
                    .args(chosen.as_flattened())
                    .args(["--", "-Dwarnings"]);
                command
            }
            None => {
                let mut command = self.cargo(target_dir, &["check"], &["-Dwarnings"]);
                command.args(chosen.as_flattened());
                command
            }
        };
        self.run(command, "check", &packages.join(", "))
    }

    fn run(&self, mut command: Command, what: &str, packages: &str) -> Result<()> {
        let status = command
            .status()
            .with_context(|| format!("cannot run {:?}", command.get_program()))?;
        ensure!(
            status.success(),
            "cannot {what} {packages} for {TARGET} with {self}: cargo failed ({status}), see above"
        );
        Ok(())
    }

    fn cargo(&self, target_dir: &Path, verb: &[&str], flags: &[&str]) -> Command {
        self.cargo_as(self.compiler.cargo().as_ref(), target_dir, verb, flags)
    }

    fn cargo_as(
        &self,
        program: &Path,
        target_dir: &Path,
        verb: &[&str],
        flags: &[&str],
    ) -> Command {
        // The linker makes BTF, which the loader needs, from the debug information. Version 3 of
        // the instruction set (Linux 5.12) has 32-bit arithmetic, as CPUs have.
        const FLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3"];
        let flags = [&FLAGS, flags].concat();
        let mut command = self.compiler.command(program);
        environment::forget_build(&mut command)
            .current_dir(root())
            .env("CARGO", self.compiler.cargo())
            .env("RUSTC", &self.compiler.rustc)
            // aya-ebpf uses `asm_experimental_arch`.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env(
                "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER",
                &self.linker.program,
            )
            .args(verb)
            .args(["--bins", "--release"])
            .args(["--target", TARGET, "--target-dir"])
            .arg(target_dir);
        if self.compiler.core == Core::Source {
            command.arg("-Zbuild-std=core");
        }
        command
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.compiler, self.linker)
    }
}

/// The compilers and linkers on this machine.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Suitable compilers, the best first, each with its linker if there is one.
    pub compilers: Vec<(Compiler, Option<Linker>)>,
    /// Compilers that are not suitable, each with the reason.
    pub rejected: Vec<String>,
}

impl Survey {
    /// Looks at the machine. Runs each compiler, but changes nothing.
    pub fn take() -> Result<Self> {
        let cache = cache()?;
        let (compilers, rejected) = compiler::look(&cache);
        let compilers = compilers
            .into_iter()
            .map(|compiler| {
                let linker = Linker::find(&cache, &compiler);
                (compiler, linker)
            })
            .collect();
        Ok(Self {
            compilers,
            rejected,
        })
    }

    /// The best complete toolchain.
    pub fn toolchain(&self) -> Option<Toolchain> {
        self.compilers.iter().find_map(|(compiler, linker)| {
            Some(Toolchain {
                compiler: compiler.clone(),
                linker: linker.clone()?,
            })
        })
    }
}

/// Says what is missing.
impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compilers.is_empty() {
            f.write_str("no compiler has core for BPF")?;
        } else {
            write!(f, "bpf-linker {LINKER_VERSION} is missing")?;
        }
        for (compiler, _) in &self.compilers {
            write!(f, "\n  {compiler}: has no bpf-linker")?;
        }
        for reason in &self.rejected {
            write!(f, "\n  {reason}")?;
        }
        Ok(())
    }
}

/// The directory for what `setup` builds, shared by all clones: `LB_CACHE`, or `lb` in the user's
/// cache directory.
pub fn cache() -> Result<PathBuf> {
    let folder = match environment::variable("LB_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => match environment::variable("XDG_CACHE_HOME").map(PathBuf::from) {
            Some(caches) if caches.is_absolute() => caches.join("lb"),
            _ => env::home_dir()
                .filter(|home| home.is_absolute())
                .context("no folder for bpf-linker: set LB_CACHE, or HOME")?
                .join(".cache/lb"),
        },
    };
    // A relative path would mean different directories: build scripts and xtask have different
    // working directories.
    ensure!(
        folder.is_absolute(),
        "LB_CACHE must be an absolute path, not {}",
        folder.display()
    );
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(rustc: &str, core: Core) -> Compiler {
        Compiler {
            rustc: rustc.into(),
            release: "1.96.0".into(),
            llvm: 22,
            core,
            libraries: None,
        }
    }

    #[test]
    fn the_first_compiler_that_has_a_linker_is_taken() {
        let nightly = compiler("/n/bin/rustc", Core::Source);
        let debian = compiler("/usr/bin/rustc", Core::Prebuilt);
        let linker = Linker {
            program: "/c/bpf-linker".into(),
        };
        let survey = Survey {
            compilers: vec![(nightly, None), (debian.clone(), Some(linker.clone()))],
            rejected: Vec::new(),
        };
        let expected = Toolchain {
            compiler: debian,
            linker,
        };
        assert_eq!(survey.toolchain(), Some(expected));
    }

    #[test]
    fn a_survey_says_what_is_missing() {
        let nothing = Survey {
            compilers: Vec::new(),
            rejected: vec!["/n: has no rust-src".into()],
        };
        assert_eq!(
            nothing.to_string(),
            "no compiler has core for BPF\n  /n: has no rust-src"
        );
        let half = Survey {
            compilers: vec![(compiler("/usr/bin/rustc", Core::Prebuilt), None)],
            rejected: Vec::new(),
        };
        assert!(half.to_string().starts_with("bpf-linker 0.13.0 is missing"));
    }
}
