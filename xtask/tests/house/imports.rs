//! Which modules must not import what, where no border between crates says so.

use std::collections::BTreeSet;

use crate::{
    modules::{Modules, name},
    workspace::packages,
};

/// From certain modules of a crate, and from those below them, to certain paths and those below
/// them.
struct Rule {
    target: &'static str,
    /// All modules where it is empty.
    from: &'static [&'static str],
    except: &'static [&'static str],
    never: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        target: "lb_director",
        from: &["core", "record"],
        except: &["record::file"],
        never: &[
            "crate::care",
            "crate::daemon",
            "crate::hands",
            "crate::interfaces",
            "crate::scouts",
            "crate::shell",
            "crate::startup",
            "lb_config",
            "lb_dataplane",
            "nix",
            "std::fs",
            "std::time",
            "tokio",
            "tracing",
        ],
        why: "the core does no I/O and reads no clock",
    },
    Rule {
        target: "lb_director",
        from: &[],
        except: &[],
        never: &["aya", "lb_common", "lb_dataplane::raw"],
        why: "only the packet path's façade knows maps and what lies in them",
    },
    Rule {
        target: "lb-ebpf",
        from: &[],
        except: &["frame::packet"],
        never: &["aya_ebpf::bindings::xdp_md"],
        why: "only `frame::packet` has pointers into a packet; others get headers and their fields",
    },
    Rule {
        target: "lb-ebpf",
        from: &["frame", "machine"],
        except: &[],
        never: &[
            "crate::connection",
            "crate::forward",
            "crate::open",
            "crate::refuse",
        ],
        why: "reading a frame, and what the machine wants, does not depend on what is decided",
    },
];

/// Imports that are there today against the rules: target, module, path. The list can only become
/// shorter.
const KNOWN: &[(&str, &str, &str)] = &[];

#[test]
fn modules_import_nothing_that_the_rules_forbid() {
    let mut found = BTreeSet::new();
    let mut complaints = String::new();
    for package in packages() {
        for (target, file) in &package.targets {
            let mut rules = RULES.iter().filter(|rule| rule.target == target).peekable();
            if rules.peek().is_none() {
                continue;
            }
            let modules = Modules::read(file);
            for rule in rules {
                for (module, line, path) in modules.paths() {
                    if !rule.concerns(module) || !is_below_any(&path, rule.never) {
                        continue;
                    }
                    let known = KNOWN.contains(&(rule.target, name(module), &path));
                    if !known {
                        let name = name(module);
                        complaints += &format!("\n  {target} {name}:{line}: {path}: {}", rule.why);
                    }
                    found.insert((rule.target.to_owned(), name(module).to_owned(), path));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "forbidden imports:{complaints}");
    for (target, module, path) in KNOWN {
        let entry = (
            (*target).to_owned(),
            (*module).to_owned(),
            (*path).to_owned(),
        );
        assert!(
            found.contains(&entry),
            "gone, so to be taken out of KNOWN: {entry:?}"
        );
    }
}

impl Rule {
    fn concerns(&self, module: &str) -> bool {
        (self.from.is_empty() || is_below_any(module, self.from))
            && !is_below_any(module, self.except)
    }
}

fn is_below_any(path: &str, above: &[&str]) -> bool {
    above.iter().any(|above| {
        let rest = path.strip_prefix(above);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}
