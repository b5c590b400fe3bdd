//! The arguments of other programs that verbs hand on: checked before anything is built, because a
//! build takes minutes. Tests of these programs compare the tables here with what they take.

use std::{ffi::OsString, fs::File, path::Path};

/// An option, and what its value may be.
#[derive(Debug)]
pub struct Flag {
    /// Its name, with dashes.
    pub name: &'static str,
    /// What follows it.
    pub value: Value,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    None,
    /// Any text.
    Text,
    /// A file that can be read.
    File,
    /// A file that can be read, or `-`.
    FileOrStdin,
    /// The name of a network interface.
    Interface,
    /// A whole number, at least 1.
    Count,
    /// A number, at least 0.
    Percent,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Levels of a log, of everything and of parts.
    Levels,
}

/// What a program takes.
#[derive(Debug)]
pub struct Grammar {
    /// Its options. Each can be given once, but for those in `repeated`.
    pub flags: &'static [Flag],
    /// Those that can be given several times.
    pub repeated: &'static [&'static str],
    /// Those that must be given.
    pub needed: &'static [&'static str],
    /// Pairs of options that exclude each other.
    pub conflicts: &'static [(&'static str, &'static str)],
    /// The words that can stand without an option.
    pub words: &'static [&'static str],
}

const fn flag(name: &'static str, value: Value) -> Flag {
    Flag { name, value }
}

/// `lb-ctl run`, as `attach` calls it: there, an interface must be given.
pub const RUN: Grammar = Grammar {
    flags: &[
        flag("--config", Value::FileOrStdin),
        flag("--interface", Value::Interface),
        flag("--mode", Value::Word(&["auto", "native", "generic"])),
        flag("--log", Value::Levels),
        flag("--instance", Value::Text),
    ],
    repeated: &["--interface"],
    needed: &["--interface", "--config"],
    conflicts: &[],
    words: &[],
};

/// The benchmark.
pub const BENCH: Grammar = Grammar {
    flags: &[
        flag("--quick", Value::None),
        flag("--samples", Value::Count),
        flag("--only", Value::Text),
        flag("--out", Value::Text),
        flag("--docs", Value::None),
        flag("--from", Value::File),
        flag("--compare", Value::File),
        flag("--threshold", Value::Percent),
    ],
    repeated: &["--from"],
    needed: &[],
    conflicts: &[
        ("--docs", "--quick"),
        ("--docs", "--only"),
        ("--from", "--quick"),
        ("--from", "--samples"),
    ],
    words: &["program", "path", "guest", "connections", "control"],
};

/// The demo.
pub const DEMO: Grammar = Grammar {
    flags: &[flag("--keep", Value::None), flag("--down", Value::None)],
    repeated: &[],
    needed: &[],
    conflicts: &[("--keep", "--down")],
    words: &[],
};

impl Grammar {
    /// Says what is wrong with arguments.
    pub fn check(&self, arguments: &[OsString]) -> Result<(), String> {
        let mut given: Vec<&str> = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let text = argument.to_str().unwrap_or_default();
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (text, None),
            };
            let Some(flag) = self.flags.iter().find(|flag| flag.name == name) else {
                self.word(argument)?;
                continue;
            };
            if given.contains(&flag.name) && !self.repeated.contains(&flag.name) {
                return Err(format!("{name} is given twice"));
            }
            given.push(flag.name);
            match (flag.value, inline) {
                (Value::None, None) => {}
                (Value::None, Some(_)) => return Err(format!("{name} takes no value")),
                (kind, inline) => match inline.or_else(|| rest.next().cloned()) {
                    Some(value) if !value.is_empty() => kind.check(name, &value)?,
                    _ => return Err(format!("{name} needs a value")),
                },
            }
        }
        if let Some(missing) = self.needed.iter().find(|name| !given.contains(name)) {
            return Err(format!("{missing} is missing"));
        }
        let both = |pair: &&(&str, &str)| given.contains(&pair.0) && given.contains(&pair.1);
        match self.conflicts.iter().find(both) {
            Some((one, other)) => Err(format!("{one} and {other} exclude each other")),
            None => Ok(()),
        }
    }

    fn word(&self, argument: &OsString) -> Result<(), String> {
        if self.words.iter().any(|word| *word == argument) {
            return Ok(());
        }
        let options = self.flags.iter().map(|flag| flag.name);
        let known: Vec<_> = self.words.iter().copied().chain(options).collect();
        Err(format!(
            "unknown argument {argument:?}: use {}",
            known.join(", ")
        ))
    }
}

impl Value {
    fn check(self, name: &str, value: &OsString) -> Result<(), String> {
        let text = value.to_string_lossy();
        let wrong = |expected: String| Err(format!("{name}: {value:?} is not {expected}"));
        match self {
            Self::None | Self::Text => Ok(()),
            Self::FileOrStdin if text == "-" => Ok(()),
            Self::File | Self::FileOrStdin => match File::open(value) {
                Ok(_) if Path::new(value).is_dir() => wrong("a file but a directory".into()),
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{name}: cannot read {value:?}: {error}")),
            },
            Self::Interface if is_interface(&text) => Ok(()),
            Self::Interface => wrong("the name of an interface".into()),
            Self::Count if text.parse::<u32>().is_ok_and(|number| number > 0) => Ok(()),
            Self::Count => wrong("a whole number from 1 on".into()),
            Self::Percent if text.parse().is_ok_and(|number: f64| number >= 0.0) => Ok(()),
            Self::Percent => wrong("a number, 0 or larger".into()),
            Self::Word(words) if words.contains(&&*text) => Ok(()),
            Self::Word(words) => wrong(format!("one of {}", words.join(", "))),
            Self::Levels => match text.split(',').find(|part| !is_level(part)) {
                Some(part) => Err(format!(
                    "{name}: {part:?} is not a log level: use {}, or PART=LEVEL",
                    LEVELS.join(", ")
                )),
                None => Ok(()),
            },
        }
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn is_level(part: &str) -> bool {
    let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
    LEVELS.contains(&level.trim().to_ascii_lowercase().as_str())
}

/// As the kernel allows: at most 15 bytes, without what paths and aliases use.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && ![".", ".."].contains(&name)
        && !name.starts_with('-')
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(grammar: &Grammar, line: &str) -> String {
        let arguments: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        grammar.check(&arguments).err().unwrap_or_default()
    }

    #[test]
    fn right_arguments_are_taken() {
        for (grammar, line) in [
            (&RUN, "--interface eth0 --config Cargo.toml"),
            (&RUN, "--config=- --interface=eth0 --interface eth1"),
            (
                &RUN,
                "--config - --interface eth0 --mode generic --log warn,lb_network=debug",
            ),
            (&BENCH, ""),
            (
                &BENCH,
                "program path --quick --samples 3 --only NAT --compare Cargo.toml",
            ),
            (
                &BENCH,
                "--from Cargo.toml --from=Cargo.toml --threshold 2.5 --docs",
            ),
            (&DEMO, ""),
            (&DEMO, "--keep"),
            (&DEMO, "--down"),
        ] {
            assert_eq!(fault(grammar, line), "", "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_told_with_what_is_right() {
        for (grammar, line, expected) in [
            (&RUN, "", "--interface is missing"),
            (&RUN, "--interface eth0", "--config is missing"),
            (&RUN, "--config - --interface", "--interface needs a value"),
            (&RUN, "--config - --interface=", "--interface needs a value"),
            (
                &RUN,
                "--config - --interfaces eth0",
                "unknown argument \"--interfaces\"",
            ),
            (
                &RUN,
                "--config - --config - --interface eth0",
                "--config is given twice",
            ),
            (
                &RUN,
                "--interface eth0 --config /nonexistent",
                "cannot read \"/nonexistent\"",
            ),
            (
                &RUN,
                "--interface eth0 --config /",
                "not a file but a directory",
            ),
            (
                &RUN,
                "--config - --interface a/b",
                "not the name of an interface",
            ),
            (
                &RUN,
                "--config - --interface eth0 --mode fast",
                "one of auto, native, generic",
            ),
            (
                &RUN,
                "--config - --interface eth0 --log wran",
                "not a log level",
            ),
            (
                &RUN,
                "--config - --interface eth0 web",
                "unknown argument \"web\"",
            ),
            (&BENCH, "programm", "use program, path"),
            (&BENCH, "--quik", "--quick"),
            (&BENCH, "--quick=yes", "takes no value"),
            (&BENCH, "--samples 0", "a whole number from 1 on"),
            (&BENCH, "--threshold -1", "0 or larger"),
            (&BENCH, "--compare /nonexistent", "cannot read"),
            (&BENCH, "--docs --quick", "exclude each other"),
            (
                &DEMO,
                "--keep --down",
                "--keep and --down exclude each other",
            ),
            (&DEMO, "down", "use --keep, --down"),
        ] {
            let fault = fault(grammar, line);
            assert!(fault.contains(expected), "{line}: {fault:?}");
        }
    }
}
