//! No modules of a crate import each other in a circle: what is in a circle can only be read,
//! tested and moved together.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

use crate::{
    modules::{Edge, Modules, name},
    workspace::packages,
};

/// Modules that are in a circle today. The list can only become shorter.
const KNOWN: &[(&str, &[&str])] = &[];

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let known: BTreeSet<_> = KNOWN
        .iter()
        .flat_map(|(target, modules)| modules.iter().map(|module| entry(target, module)))
        .collect();
    let mut found = BTreeSet::new();
    let mut new = BTreeSet::new();
    for package in packages() {
        for (target, file) in &package.targets {
            for (module, circle) in circles(&Modules::read(file).edges()) {
                let entry = entry(target, module);
                if !known.contains(&entry) {
                    new.insert(format!("{target}\n{}", told(&circle)));
                }
                found.insert(entry);
            }
        }
    }
    let new: Vec<_> = new.into_iter().collect();
    assert!(
        new.is_empty(),
        "modules import each other in a circle. Move what both need into a module below them:\n{}",
        new.join("\n")
    );
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        gone.is_empty(),
        "not in a circle any more, so to be taken out of KNOWN: {gone:?}"
    );
}

fn entry(target: &str, module: &str) -> (String, String) {
    (target.to_owned(), module.to_owned())
}

#[test]
fn a_circle_is_found_and_told_with_its_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |file: &str, source: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, source).expect("a file");
    };
    write("lib.rs", "mod a;\nmod b;\npub use a::c::Deep;\n");
    write("a.rs", "pub mod c;\n\nuse crate::b::{One, Two};\n");
    write("a/c.rs", "use std::fs;\npub struct Deep;\n");
    write(
        "b.rs",
        "/// By `crate::a`.\nfn f(_: crate::Deep) {}\n#[cfg(test)]\nuse crate::a;\n",
    );
    let told = |folder: &Path| -> String {
        let edges = Modules::read(&folder.join("lib.rs")).edges();
        let found = circles(&edges);
        found.values().map(|circle| told(circle)).collect()
    };
    assert_eq!(told(folder.path()), "");

    write("a/c.rs", "pub struct Deep(super::super::b::One);\n");
    let circle = "  a::c:1: super::super::b::One\n  b:2: crate::Deep\n";
    assert_eq!(told(folder.path()), circle.repeat(2));
}

/// The modules in circles, each with a shortest circle through it.
fn circles(edges: &[Edge]) -> BTreeMap<&str, Vec<&Edge>> {
    let modules: BTreeSet<_> = edges.iter().map(|edge| edge.from.as_str()).collect();
    modules
        .into_iter()
        .filter_map(|module| Some((name(module), shortest(edges, module)?)))
        .collect()
}

/// A shortest way from a module back to itself. It is told from the module with the first name
/// on, so that it is the same for each module in it.
fn shortest<'a>(edges: &'a [Edge], module: &str) -> Option<Vec<&'a Edge>> {
    let mut ways: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    let mut next = VecDeque::from([(module, Vec::new())]);
    while let Some((at, way)) = next.pop_front() {
        for edge in edges.iter().filter(|edge| edge.from == at) {
            let longer = [&way[..], &[edge]].concat();
            if edge.to == module {
                let first = longer
                    .iter()
                    .position(|edge| longer.iter().all(|other| edge.from <= other.from));
                let mut circle = longer;
                circle.rotate_left(first.unwrap_or_default());
                return Some(circle);
            }
            if !ways.contains_key(edge.to.as_str()) {
                ways.insert(&edge.to, longer.clone());
                next.push_back((&edge.to, longer));
            }
        }
    }
    None
}

fn told(circle: &[&Edge]) -> String {
    circle
        .iter()
        .map(|edge| format!("  {}\n", edge.why))
        .collect()
}
