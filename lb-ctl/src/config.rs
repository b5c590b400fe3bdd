//! The configuration file: from YAML as written to [`Desired`], and back.
//!
//! Everything that is wrong with a file is reported at once, each fault with its line,
//! column and path. What this director does not do yet is refused, never ignored.

mod meaning;
mod places;
mod save;
mod shape;
mod written;

use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

pub use self::save::write;

use self::{
    meaning::Reading,
    places::{Place, Places},
    shape::Misshapen,
};
use crate::{desired::Desired, rules::Fault};

/// Largest file that is read: what fits, escaped, into one request to the daemon.
const MAX_BYTES: u64 = 7 << 20;

/// Reads and checks a file; `-` is standard input.
pub fn load(path: &Path) -> Result<Desired, ConfigError> {
    let source = read(path)?;
    parse(&source.text, &source.name)
}

/// A configuration file as text, and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it says.
    pub text: String,
    /// Its path as given, or `<stdin>`.
    pub name: String,
}

/// What tells the text of a file from others: its CRC-32, but never 0.
#[must_use]
pub fn checksum(text: &[u8]) -> u32 {
    crc32fast::hash(text).max(1)
}

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Source, ConfigError> {
    let stdin = path == Path::new("-");
    let name = if stdin {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    let bytes = if stdin {
        limited(io::stdin().lock())
    } else {
        fs::File::open(path).and_then(limited)
    };
    let unreadable = |why: String| ConfigError::Unreadable {
        file: name.clone(),
        why,
    };
    let bytes = bytes.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!(
            "it is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { text, name }),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
            Err(unreadable(format!("line {line} is not UTF-8")))
        }
    }
}

/// Up to one byte more than is taken.
fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks a text that came from `file`.
pub fn parse(text: &str, file: &str) -> Result<Desired, ConfigError> {
    let problem = |place, path, fault| Problem {
        file: file.to_owned(),
        place,
        path,
        fault,
    };
    let document = shape::read(text).map_err(|Misshapen { place, path, fault }| {
        ConfigError::Wrong(vec![problem(place, path, fault)])
    })?;
    let Reading {
        desired,
        faults,
        more,
    } = meaning::read(document);
    if faults.is_empty() {
        return Ok(desired);
    }
    let places = Places::of(text, faults.iter().map(|(path, _)| path.as_str()));
    let mut problems: Vec<_> = faults
        .into_iter()
        .map(|(path, fault)| problem(places.value(&path), path, fault))
        .collect();
    problems.sort_by_key(|problem| problem.place);
    if more > 0 {
        let more = Fault::new(format!("{more} more faults are not shown"));
        problems.push(problem(None, String::new(), more));
    }
    Err(ConfigError::Wrong(problems))
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
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
    file: String,
    place: Option<Place>,
    path: String,
    fault: Fault,
}

impl fmt::Display for Problem {
    /// `lb.yaml:12:9: services[1].servers[0].weight: what is wrong`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            // Keys are as the file has them, line ends and all.
            write!(f, ": {}", self.path.escape_debug())?;
        }
        write!(f, ": {}", self.fault)
    }
}

#[cfg(test)]
mod tests;
