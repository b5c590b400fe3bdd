//! Cargo compiles each crate of other people once, whichever crates of ours are tested.

use std::collections::BTreeSet;

use xtask::{root, toolchain::Package};

use crate::workspace::{cargo, packages};

#[test]
fn a_crate_tested_alone_asks_for_the_same_features_as_all_together() {
    let for_the_kernel = Package::ALL.map(Package::name);
    let mut all = vec!["--workspace"];
    for name in for_the_kernel {
        all.extend(["--exclude", name]);
    }
    let together = features(&all);
    let mut missing = String::new();
    for package in packages() {
        let name = package.name.as_str();
        if for_the_kernel.contains(&name) {
            continue;
        }
        let alone = features(&["--package", name]);
        for other in alone.difference(&together) {
            missing += &format!("\n  {name} alone: {other}");
        }
    }
    assert!(
        missing.is_empty(),
        "other features than for the workspace, so compiled a second time. Add what is missing \
         to tests/features/Cargo.toml (`cargo tree --workspace -i CRATE -e features` shows who \
         asks for what):{missing}"
    );
}

/// Other people's crates, each with its version and features, that these packages are built and
/// tested with.
fn features(packages: &[&str]) -> BTreeSet<String> {
    let format = [
        "--prefix",
        "none",
        "--edges",
        "normal,build,dev",
        "--format",
        "{p} {f}",
    ];
    let tree = cargo(&[&["tree", "--locked"], packages, &format].concat());
    let ours = root().display().to_string();
    tree.lines()
        .filter(|line| !line.contains(&ours))
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect()
}
