//! Arguments are judged before anything is built: here, there is no cargo that could build.

use std::process::{Command, Output};

use tempfile::TempDir;

fn xtask(line: &str) -> Output {
    let nothing = TempDir::new().expect("a directory");
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(line.split_whitespace())
        .env("PATH", nothing.path())
        .env("CARGO", nothing.path().join("cargo"))
        .output()
        .expect("xtask runs")
}

#[test]
fn wrong_arguments_of_every_verb_are_refused_before_anything_is_built() {
    for line in [
        "setup now",
        "build --release",
        "attach",
        "attach --interface eth0",
        "attach --interface eth0 --config /nonexistent",
        "attach --interface eth0 --config - --mode fast",
        "demo --dwon",
        "demo --keep --down",
        "test labs",
        "bench nonsense",
        "bench --quick --docs",
        "install /opt",
        "install --divert --prefix",
        "uninstall --divert",
        "help nonsense",
        "help demo bench",
        "nonsense",
    ] {
        let output = xtask(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(
            said.starts_with("error: ") && !said.contains("==>"),
            "{line}: {said}"
        );
    }
}

#[test]
fn help_of_every_verb_is_shown_at_once() {
    for verb in "setup build attach demo test bench install uninstall".split(' ') {
        for line in [
            format!("help {verb}"),
            format!("{verb} --help"),
            format!("{verb} -h"),
        ] {
            let output = xtask(&line);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{line}");
            assert!(
                said.starts_with(&format!("usage: cargo xtask {verb}")),
                "{line}: {said}"
            );
            assert!(said.contains("Examples:\n"), "{line}: {said}");
        }
    }
}
