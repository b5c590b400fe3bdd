//! Whether a text is YAML of the shape that a configuration has.

use super::{
    places::{Place, Places, child, parent},
    written::Document,
};
use crate::{rules::Fault, spelling};

/// Brackets and braces that may be open at the same time; those in comments count too.
const MAX_BRACKETS: usize = 1000;

/// Reads a text as the keys and values that there are.
pub fn read(text: &str) -> Result<Document, Misshapen> {
    // serde_yaml reads a text without any node as a mapping without any key.
    if text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    }) {
        return Err(Misshapen {
            place: None,
            path: String::new(),
            fault: Fault::new("there is nothing in it: to have no services, write `services: []`"),
        });
    }
    if let Some(place) = too_deep(text) {
        return Err(Misshapen {
            place: Some(place),
            path: String::new(),
            fault: Fault::new(format!(
                "brackets are nested more than {MAX_BRACKETS} deep: is one not closed?"
            )),
        });
    }
    let yaml = serde_yaml::Deserializer::from_str(text);
    serde_path_to_error::deserialize(yaml).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        misshapen(text, path, error.inner())
    })
}

/// What is wrong with the shape of a file.
pub struct Misshapen {
    /// If it has one.
    pub place: Option<Place>,
    /// Empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub fault: Fault,
}

/// Where brackets are nested deeper than any file means it. The YAML readers take a time that
/// grows with the square of the depth.
fn too_deep(text: &str) -> Option<Place> {
    let mut depth = 0usize;
    for (line, content) in (1..).zip(text.lines()) {
        for (column, character) in (1..).zip(content.chars()) {
            match character {
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_BRACKETS {
                return Some(Place { line, column });
            }
        }
    }
    None
}

/// Puts serde's words into those of a configuration file.
fn misshapen(text: &str, path: String, error: &serde_yaml::Error) -> Misshapen {
    let seen = error.location().map(|location| Place {
        line: location.line(),
        column: location.column(),
    });
    let message = bare_message(error, &path);
    let quoted: Vec<_> = message.split('`').skip(1).step_by(2).collect();
    let key = quoted.first().copied().unwrap_or_default();
    let known = quoted.get(1..).unwrap_or_default();
    let at_key = |path: String, fault| Misshapen {
        place: Places::of(text, [path.as_str()]).key(&path).or(seen),
        path,
        fault: Fault::new(fault),
    };
    let at_value = |path: String, fault| Misshapen {
        place: Places::of(text, [path.as_str()]).value(&path).or(seen),
        path,
        fault: Fault::new(fault),
    };
    if message.starts_with("unknown field") {
        let hint = spelling::did_you_mean(key, known);
        let usable = spelling::alternatives(known);
        at_key(path, format!("there is no such key{hint}: use {usable}"))
    } else if message.starts_with("duplicate field") {
        let fault = "this key is written twice: leave one of them out";
        at_key(child(&path, key), fault.into())
    } else if message.starts_with("missing field") {
        at_value(path, format!("`{key}` is missing"))
    } else if let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        let found = article(found);
        at_value(path, format!("this is {found}, expected {expected}"))
    } else {
        // Not YAML: the path is where the reader was, not where the fault is.
        Misshapen {
            place: seen,
            path: String::new(),
            fault: no_yaml(text, seen, &message),
        }
    }
}

fn no_yaml(text: &str, place: Option<Place>, message: &str) -> Fault {
    if message.contains("more than one document") {
        return Fault::new("a file holds one document, and a line `---` begins another here");
    }
    let indented_by_tab = place
        .and_then(|place| text.lines().nth(place.line.saturating_sub(1)))
        .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
    let hint = if indented_by_tab {
        " (YAML is indented by spaces, not by tabs)"
    } else {
        ""
    };
    Fault::new(format!("{message}{hint}"))
}

/// What serde_yaml says, without the path that it puts in front and the place behind.
fn bare_message(error: &serde_yaml::Error, path: &str) -> String {
    let message = error.to_string();
    let place = error
        .location()
        .map(|at| format!(" at line {} column {}", at.line(), at.column()))
        .unwrap_or_default();
    let message = message.replacen(&place, "", 1);
    let without = |path: &str| message.strip_prefix(&format!("{path}: "));
    without(path)
        .or_else(|| without(parent(path)))
        .unwrap_or(&message)
        .to_owned()
}

fn article(found: &str) -> String {
    match found {
        "sequence" => "a list".into(),
        "map" => "a mapping".into(),
        "unit value" => "nothing".into(),
        "enum" => "a value with a tag".into(),
        other => format!("the {other}"),
    }
}
