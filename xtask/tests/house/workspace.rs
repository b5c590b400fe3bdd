//! The workspace, as cargo describes it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use xtask::{environment, root};

/// A crate of ours.
pub struct Package {
    pub name: String,
    /// From the root of the workspace.
    pub folder: String,
    /// Crates that it depends on, ours and others', each with the kind: `normal`, `build`, `dev`.
    pub dependencies: Vec<(String, String)>,
    /// What it is compiled to, by name: the file that each begins with.
    pub targets: BTreeMap<String, PathBuf>,
}

/// All crates of ours.
pub fn packages() -> Vec<Package> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo's metadata are JSON");
    list(&metadata["packages"]).iter().map(package).collect()
}

/// What a cargo in the workspace writes to stdout.
pub fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(environment::cargo());
    environment::forget_package(&mut command);
    let output = command.current_dir(root()).args(arguments).output();
    let output = output.expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn package(package: &Value) -> Package {
    let dependencies = list(&package["dependencies"]).iter();
    let targets = list(&package["targets"]).iter();
    let manifest = text(&package["manifest_path"]);
    let folder = Path::new(&manifest).parent().expect("a folder");
    let folder = folder
        .strip_prefix(root())
        .expect("a folder of the workspace");
    Package {
        name: text(&package["name"]),
        folder: folder.display().to_string(),
        dependencies: dependencies
            .map(|it| {
                let kind = it["kind"].as_str().unwrap_or("normal");
                (text(&it["name"]), kind.to_owned())
            })
            .collect(),
        targets: targets
            .filter(|target| target["kind"][0] != "custom-build")
            .map(|target| (text(&target["name"]), text(&target["src_path"]).into()))
            .collect(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list in cargo's metadata")
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .expect("a text in cargo's metadata")
        .to_owned()
}
