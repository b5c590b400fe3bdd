//! Which crate of ours may depend on which, and which crates must stay out of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::packages;

/// Each crate with those of ours that it uses: in the product, to build, and in tests. An arrow
/// that is not here must not exist, and one that is here does.
const ARROWS: &[(&str, [&[&str]; 3])] = &[
    ("lb-api", [&["lb-model"], &[], &[]]),
    (
        "lb-bench",
        [
            &[
                "lb-common",
                "lb-dataplane",
                "lb-lab",
                "lb-tests",
                "lb-verbs",
            ],
            &[],
            &["lb-config", "xtask"],
        ],
    ),
    ("lb-bench-ebpf", [&[], &[], &[]]),
    ("lb-common", [&[], &[], &[]]),
    ("lb-config", [&["lb-model"], &[], &["lb-model"]]),
    (
        "lb-ctl",
        [
            &[
                "lb-api",
                "lb-dataplane",
                "lb-director",
                "lb-model",
                "lb-verbs",
            ],
            &[],
            &[],
        ],
    ),
    (
        "lb-dataplane",
        [&["lb-common", "lb-model"], &["xtask"], &["lb-model"]],
    ),
    (
        "lb-director",
        [
            &[
                "lb-api",
                "lb-config",
                "lb-dataplane",
                "lb-model",
                "lb-network",
            ],
            &[],
            &["lb-model"],
        ],
    ),
    ("lb-ebpf", [&["lb-common"], &[], &[]]),
    (FEATURES, [&[], &[], &[]]),
    ("lb-ipvsadm", [&["lb-api", "lb-model"], &[], &["lb-model"]]),
    ("lb-lab", [&[], &[], &[]]),
    ("lb-model", [&[], &[], &[]]),
    ("lb-network", [&[], &[], &["lb-lab"]]),
    (
        "lb-tests",
        [&["lb-common", "lb-dataplane", "lb-lab"], &[], &[]],
    ),
    (
        "lb-verbs",
        [
            &["lb-api", "lb-config", "lb-ipvsadm", "lb-model"],
            &[],
            &["lb-model", "xtask"],
        ],
    ),
    ("xtask", [&[], &[], &[]]),
];

/// Has no code; any crate's tests may depend on it (see `features.rs`).
const FEATURES: &str = "lb-features";

/// The crates that carry the eBPF program, or use one that does. All others are built and tested
/// without a BPF toolchain.
const NEED_BPF_TOOLCHAIN: &[&str] = &[
    "lb-bench",
    "lb-ctl",
    "lb-dataplane",
    "lb-director",
    "lb-tests",
];

/// Other people's crates that a crate of ours must not use, not even in tests: what it is for
/// needs no kernel, no clock and no other machine.
const STRANGERS: &[(&str, &[&str])] = &[
    ("lb-common", &["libc", "nix", "tokio"]),
    ("lb-model", &["aya", "libc", "nix", "rtnetlink", "tokio"]),
    ("lb-api", &["aya", "rtnetlink"]),
    ("lb-config", &["aya", "clap", "libc", "nix", "tokio"]),
    ("lb-dataplane", &["clap", "rtnetlink", "serde", "tokio"]),
    ("lb-ipvsadm", &["aya", "clap", "rtnetlink", "tokio"]),
    ("lb-network", &["aya", "clap", "serde"]),
    ("lb-verbs", &["aya", "nix", "rtnetlink"]),
    ("lb-lab", &["aya", "clap", "rtnetlink", "serde"]),
    // The build script of the packet path waits for it.
    ("xtask", &["aya", "clap", "nix", "serde", "tokio"]),
];

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
    let packages = packages();
    let ours: BTreeSet<_> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut there = BTreeMap::new();
    for package in &packages {
        let of = |kind: &str| -> BTreeSet<_> {
            let dependencies = package.dependencies.iter();
            dependencies
                .filter(|(name, its_kind)| its_kind == kind && ours.contains(name.as_str()))
                .map(|(name, _)| name.as_str())
                .filter(|name| *name != FEATURES)
                .collect()
        };
        there.insert(package.name.as_str(), ["normal", "build", "dev"].map(of));
    }
    let table: BTreeMap<_, _> = ARROWS
        .iter()
        .map(|(name, kinds)| (*name, kinds.map(|names| names.iter().copied().collect())))
        .collect();
    let names: BTreeSet<_> = there.keys().chain(table.keys()).collect();
    let differences: Vec<_> = names
        .into_iter()
        .filter(|name| there.get(*name) != table.get(*name))
        .map(|name| format!("{name}: {:?}, not {:?}", there.get(name), table.get(name)))
        .collect();
    assert!(
        differences.is_empty(),
        "the manifests have other arrows than ARROWS (normal, build, dev):\n  {}",
        differences.join("\n  ")
    );
}

#[test]
fn crates_stay_clear_of_what_they_must_not_know() {
    for package in packages() {
        let strangers = STRANGERS.iter().find(|(name, _)| *name == package.name);
        for (dependency, _) in &package.dependencies {
            let stranger = strangers.is_some_and(|(_, names)| names.contains(&&**dependency));
            assert!(!stranger, "{} must not use {dependency}", package.name);
        }
    }
}

#[test]
fn only_crates_that_carry_the_ebpf_program_need_a_bpf_toolchain() {
    let packages = packages();
    let mut need: BTreeSet<_> = packages
        .iter()
        .filter(|package| {
            package
                .dependencies
                .contains(&("xtask".into(), "build".into()))
        })
        .map(|package| package.name.as_str())
        .collect();
    loop {
        let more = packages.iter().filter(|package| {
            let mut names = package.dependencies.iter().map(|(name, _)| name.as_str());
            names.any(|name| need.contains(name))
        });
        let more: BTreeSet<_> = more.map(|package| package.name.as_str()).collect();
        if more.is_subset(&need) {
            break;
        }
        need.extend(more);
    }
    assert_eq!(need, NEED_BPF_TOOLCHAIN.iter().copied().collect());
}
