//! The configuration file as YAML.

mod document;
mod faults;
mod lost;
mod node;
mod places;
mod writing;

use lb_model::{Fault, merge::Written, spelling::count};

pub use self::{
    lost::{Extras, extras},
    places::Place,
    writing::write,
};

use self::{faults::Faults, node::NotYaml, places::Places};
use crate::{ConfigError, Problem, source::check_size};

/// Checks a text that came from `file`.
pub fn parse(text: &str, file: &str) -> Result<Written, ConfigError> {
    check_size(text, file)?;
    let text = without_mark(text);
    let problem = |place, path, fault| Problem {
        file: file.to_owned(),
        place,
        path,
        fault,
    };
    if let Some((place, fault)) = not_text(text) {
        return Err(ConfigError::Wrong(vec![problem(
            Some(place),
            String::new(),
            fault,
        )]));
    }
    let root = node::read(text).map_err(|NotYaml { place, fault }| {
        ConfigError::Wrong(vec![problem(place, String::new(), fault)])
    })?;
    let mut faults = Faults::default();
    let written = document::read(&root, &mut faults);
    let (found, more) = faults.found();
    if found.is_empty() {
        return Ok(written);
    }
    let places = Places::of(text, found.iter().map(|found| found.path.as_str()));
    let mut problems: Vec<_> = found
        .into_iter()
        .map(|found| {
            let place = if found.at_key {
                places.key(&found.path)
            } else {
                places.value(&found.path)
            };
            problem(place, found.path, found.fault)
        })
        .collect();
    problems.sort_by_key(|problem| problem.place);
    if more > 0 {
        let more = Fault::new(format!("not shown: {}", count(more, "more fault")));
        problems.push(problem(None, String::new(), more));
    }
    Err(ConfigError::Wrong(problems))
}

/// Some editors begin a file with a byte order mark, which is not part of its text.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// What no text has, and YAML readers explain badly.
fn not_text(text: &str) -> Option<(Place, Fault)> {
    if !text.contains(['\0', '\u{feff}']) {
        return None;
    }
    (1..).zip(text.lines()).find_map(|(line, content)| {
        if content.starts_with('\u{feff}') {
            let why =
                "a byte order mark (U+FEFF) can only be at the beginning of a file: remove it";
            return Some((Place { line, column: 1 }, Fault::new(why)));
        }
        let before = content.chars().position(|c| c == '\0')?;
        let why = "this is a NUL byte, which no text has: the file is damaged";
        let column = before + 1;
        Some((Place { line, column }, Fault::new(why)))
    })
}
