//! Finds the Rust compilers on this machine that have `core` for BPF.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{LINKER_LLVMS, LINKER_VERSION, TARGET};
use crate::environment;

/// The oldest compiler that will do: the workspace's `rust-version`.
const MINIMUM: &str = env!("CARGO_PKG_RUST_VERSION");

/// A compiler that has `core` for BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The path of `rustc`.
    pub rustc: PathBuf,
    /// Its version, such as `1.96.0`.
    pub release: String,
    /// The major version of its LLVM.
    pub llvm: u32,
    /// In which form it has `core`.
    pub core: Core,
    /// The directory of its shared libraries, if it was unpacked to a place where the system does
    /// not look for them.
    pub libraries: Option<PathBuf>,
}

/// In which form a compiler has `core` for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// As source: rustup's nightly with `rust-src`.
    Source,
    /// Compiled: Debian's `rustc-web`.
    Prebuilt,
}

impl Compiler {
    /// A command with the compiler's libraries in its search path.
    pub fn command(&self, program: &Path) -> Command {
        command(program, self.libraries.as_deref())
    }

    /// The cargo to use with it. Only a nightly's own cargo knows `build-std`.
    pub fn cargo(&self) -> OsString {
        match self.core {
            Core::Source => self.rustc.with_file_name("cargo").into(),
            Core::Prebuilt => environment::cargo(),
        }
    }

    /// Its `cargo-clippy`, which must be of the same version, so from the same directory.
    pub fn clippy(&self) -> Option<PathBuf> {
        let is_neighbour = |name| self.rustc.with_file_name(name).is_file();
        (is_neighbour("cargo-clippy") && is_neighbour("clippy-driver"))
            .then(|| self.rustc.with_file_name("cargo-clippy"))
    }

    /// The shared library of its LLVM.
    pub fn libllvm(&self) -> Result<PathBuf> {
        let output = self
            .command("ldd".as_ref())
            .arg(&self.rustc)
            .output()
            .context("cannot run ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse_libllvm(&text).with_context(|| {
            format!(
                "{} has no LLVM as a shared library: `ldd` shows none",
                self.rustc.display()
            )
        })
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, core) = match self.core {
            Core::Source => ("rustup's nightly", "core as source"),
            Core::Prebuilt => ("Debian's rustc", "core compiled"),
        };
        write!(
            f,
            "{whose} {} (LLVM {}, {core}, {})",
            self.release,
            self.llvm,
            self.rustc.display()
        )
    }
}

/// Suitable compilers, the best first; and why others are not.
pub fn look(cache: &Path) -> (Vec<Compiler>, Vec<String>) {
    let mut found = Vec::new();
    let mut rejected = Vec::new();
    let mut judge = |rustc: &Path, verdict: Result<Compiler>| match verdict {
        Ok(compiler) => found.push(compiler),
        Err(reason) => rejected.push(format!("{}: {reason:#}", rustc.display())),
    };
    for rustc in nightlies() {
        judge(&rustc, with_source(&rustc));
    }
    let system = PathBuf::from("/usr/bin/rustc");
    if system.is_file() {
        judge(&system, with_prebuilt(&system, None));
    }
    let unpacked = unpacked(cache);
    let rustc = unpacked.join("usr/bin/rustc");
    if rustc.is_file() {
        judge(&rustc, with_prebuilt(&rustc, libraries(&unpacked)));
    }
    (found, rejected)
}

/// Where `setup` unpacks Debian's compiler when it cannot be installed.
pub fn unpacked(cache: &Path) -> PathBuf {
    cache.join("rustc-web")
}

/// rustup's nightlies. The one without a date comes first: one with a date was installed for
/// something else.
fn nightlies() -> Vec<PathBuf> {
    let Some(home) = environment::variable("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".rustup")))
    else {
        return Vec::new();
    };
    let mut names: Vec<_> = fs::read_dir(home.join("toolchains"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("nightly-"))
        .collect();
    names.sort_by_key(|name| (name.starts_with("nightly-2"), name.clone()));
    names
        .into_iter()
        .map(|name| home.join("toolchains").join(name).join("bin/rustc"))
        .filter(|rustc| rustc.is_file())
        .collect()
}

fn with_source(rustc: &Path) -> Result<Compiler> {
    let source = rustc.with_file_name("../lib/rustlib/src/rust/library/core/src/lib.rs");
    ensure!(source.is_file(), "has no rust-src");
    identify(rustc, Core::Source, None)
}

fn with_prebuilt(rustc: &Path, libraries: Option<PathBuf>) -> Result<Compiler> {
    let arguments = ["--print", "target-libdir", "--target", TARGET];
    let folder = ask(rustc, libraries.as_deref(), &arguments)?;
    let has_core = fs::read_dir(folder.trim())
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(b"libcore-")
        });
    ensure!(has_core, "has no core for {TARGET}");
    identify(rustc, Core::Prebuilt, libraries)
}

fn identify(rustc: &Path, core: Core, libraries: Option<PathBuf>) -> Result<Compiler> {
    let text = ask(rustc, libraries.as_deref(), &["-vV"])?;
    let (release, llvm) =
        parse_identity(&text).with_context(|| format!("`-vV` says no version: {text}"))?;
    ensure!(
        version(release) >= version(MINIMUM),
        "is version {release}, older than {MINIMUM}"
    );
    ensure!(
        LINKER_LLVMS.contains(&llvm),
        "has LLVM {llvm}, but bpf-linker {LINKER_VERSION} knows LLVM {} to {}",
        LINKER_LLVMS.start(),
        LINKER_LLVMS.end()
    );
    Ok(Compiler {
        rustc: rustc.to_owned(),
        release: release.to_owned(),
        llvm,
        core,
        libraries,
    })
}

fn ask(rustc: &Path, libraries: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let output = environment::forget_build(&mut command(rustc, libraries))
        // If it is rustup's proxy, it must not download anything.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .args(arguments)
        .output()
        .context("cannot be run")?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn command(program: &Path, libraries: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    if let Some(libraries) = libraries {
        let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let paths = [libraries.to_owned()]
            .into_iter()
            .chain(env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()));
        if let Ok(paths) = env::join_paths(paths) {
            command.env("LD_LIBRARY_PATH", paths);
        }
    }
    command
}

/// Debian's directory of libraries is named after the architecture.
fn libraries(unpacked: &Path) -> Option<PathBuf> {
    fs::read_dir(unpacked.join("usr/lib"))
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("-linux-gnu"))
}

/// Reads the release and LLVM's major version from the output of `rustc -vV`.
fn parse_identity(text: &str) -> Option<(&str, u32)> {
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((field("release: ")?, llvm))
}

/// Major and minor version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Finds LLVM's library in the output of `ldd`.
fn parse_libllvm(text: &str) -> Option<PathBuf> {
    text.lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .find(|(name, _)| name.starts_with("libLLVM"))
        .and_then(|(_, place)| place.rsplit_once(" (").map(|(path, _)| path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_says_its_release_and_its_llvm() {
        let text = "rustc 1.97.0-nightly (0aa1b7e4c 2026-05-10)\nbinary: rustc\n\
                    host: x86_64-unknown-linux-gnu\nrelease: 1.97.0-nightly\n\
                    LLVM version: 22.1.4\n";
        assert_eq!(parse_identity(text), Some(("1.97.0-nightly", 22)));
        assert_eq!(parse_identity("rustc 1.63.0"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("1.100.0") > version("1.95"));
        assert!(version("1.97.0-nightly") > version("1.95"));
        assert!(version("1.63.0") < version("1.95"));
        assert!(version(MINIMUM).is_some());
    }

    #[test]
    fn the_llvm_of_a_compiler_is_found_among_its_libraries() {
        let text = "\tlinux-vdso.so.1 (0x00007f63fea34000)\n\
                    \tlibrustc_driver-ea0e.so => /lib/x86_64-linux-gnu/librustc_driver-ea0e.so (0x00007f)\n\
                    \tlibLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x00007f5543800000)\n";
        let expected = PathBuf::from("/lib/x86_64-linux-gnu/libLLVM.so.22.1");
        assert_eq!(parse_libllvm(text), Some(expected));
        assert_eq!(parse_libllvm("\tlibLLVM.so.22.1 => not found\n"), None);
    }

    #[test]
    fn clippy_must_be_the_neighbour_of_its_compiler() {
        let compiler = Compiler {
            rustc: "/nowhere/bin/rustc".into(),
            release: "1.96.0".into(),
            llvm: 22,
            core: Core::Prebuilt,
            libraries: None,
        };
        assert_eq!(compiler.clippy(), None);
    }
}
