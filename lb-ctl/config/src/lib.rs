//! The configuration file: from YAML to [`Written`], and from [`Desired`](lb_model::Desired) back.
//!
//! Everything that is wrong with a file is reported at once, each fault with its line, column and
//! path. What the packet path cannot do yet is refused, never ignored.
//!
//! Options are not named here: they are read and written by
//! [`Options::ROWS`](lb_model::Options::ROWS).

mod source;
mod yaml;

use std::{fmt, path::Path};

use lb_model::{Fault, merge::Written};

pub use self::{
    source::{MAX_TEXT, Source, read},
    yaml::{Extras, Place, extras, parse, write},
};

/// Reads and checks a file; `-` is standard input.
pub fn load(path: &Path) -> Result<Written, ConfigError> {
    let source = read(path)?;
    parse(&source.text, &source.name)
}

/// Why a file is not a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read at all.
    #[error("cannot read {file}: {why}")]
    Unreadable {
        /// As given.
        file: String,
        /// What the system says.
        why: String,
    },
    /// Its contents are wrong: at least one problem, in the order of their places.
    #[error("{}", lines(.0))]
    Wrong(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as given.
    pub file: String,
    /// Where in it; nothing for the whole file.
    pub place: Option<Place>,
    /// The keys that lead there; empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    /// `lb.yaml:12:9: services[1].servers[0].weight: what is wrong`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            // A key can contain line ends and control characters.
            write!(f, ": {}", self.path.escape_debug())?;
        }
        write!(f, ": {}", self.fault)
    }
}

#[cfg(test)]
mod tests;
