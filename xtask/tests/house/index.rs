//! A newcomer finds every crate in the README's directory index.

use std::fs;

use xtask::root;

use crate::workspace::packages;

#[test]
fn every_crate_is_in_the_directory_index() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let (_, index) = readme.split_once("## Directory index").expect("an index");
    for package in packages() {
        let link = format!("| [`{0}/`]({0}) |", package.folder);
        assert!(
            index.contains(&link),
            "README.md has no row {link} for {}",
            package.name
        );
    }
}
