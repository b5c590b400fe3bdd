//! Where each value is in a YAML text.
//!
//! serde_yaml does not tell the places of values. What is found wrong is looked up here in a
//! second pass over the text, by its path. Files without faults do not need this pass.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser};

/// A line and a column, in characters, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The first line is 1.
    pub line: usize,
    /// The first column is 1.
    pub column: usize,
}

/// The places of some paths and of their parents.
#[derive(Debug, Default)]
pub struct Places(HashMap<String, Option<Found>>);

#[derive(Clone, Copy, Debug)]
struct Found {
    key: Option<Place>,
    value: Place,
}

impl Places {
    /// Looks for `paths`, as far as the text is YAML. If a key is written twice, the place is that
    /// of the second.
    pub fn of<'a>(text: &str, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut walk = Walk::default();
        walk.wanted.insert(String::new(), None);
        for mut path in paths {
            while !path.is_empty() {
                walk.wanted.insert(path.to_owned(), None);
                path = parent(path);
            }
        }
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => walk.step(&event, span.start.into()),
                Err(_) => break,
            }
        }
        Self(walk.wanted)
    }

    /// Where the value at `path` begins. If there is no such value: where its parent begins.
    pub fn value(&self, path: &str) -> Option<Place> {
        self.nearest(path).map(|found| found.value)
    }

    /// Where the key at the end of `path` begins. An item of a list has no key: where it begins.
    pub fn key(&self, path: &str) -> Option<Place> {
        self.nearest(path)
            .map(|found| found.key.unwrap_or(found.value))
    }

    fn nearest(&self, mut path: &str) -> Option<Found> {
        loop {
            if let Some(Some(found)) = self.0.get(path) {
                return Some(*found);
            }
            if path.is_empty() {
                return None;
            }
            path = parent(path);
        }
    }
}

/// `services[1]` for `services[1].address`, `services` for `services[1]`, nothing for `services`.
fn parent(path: &str) -> &str {
    path.rfind(['.', '['])
        .and_then(|end| path.get(..end))
        .unwrap_or("")
}

/// `services[1].address`: a key below a path.
fn child(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// The lists and mappings around the parser's position. A path is built only if it is wanted,
/// because a text can be deep and keys can be long.
#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    wanted: HashMap<String, Option<Found>>,
}

struct Open {
    /// Nothing if no path below this one is wanted.
    path: Option<String>,
    kind: Kind,
}

enum Kind {
    Sequence {
        items: usize,
    },
    /// `key` is the key of the next value. Nothing if a key comes next.
    Mapping {
        key: Option<(String, Place)>,
    },
}

impl Walk {
    fn step(&mut self, event: &Event<'_>, place: Place) {
        match event {
            Event::SequenceStart(..) => {
                let path = self.begin(None, place);
                let kind = Kind::Sequence { items: 0 };
                self.open.push(Open { path, kind });
            }
            Event::MappingStart(..) => {
                let path = self.begin(None, place);
                let kind = Kind::Mapping { key: None };
                self.open.push(Open { path, kind });
            }
            Event::Scalar(text, ..) => {
                self.begin(Some(text), place);
            }
            Event::Alias(_) => {
                self.begin(None, place);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            _ => {}
        }
    }

    /// Notes the place of a node. Gives its path if that is wanted. `text` is that of a scalar.
    fn begin(&mut self, text: Option<&str>, place: Place) -> Option<String> {
        let (path, key) = match self.open.last_mut() {
            None => (Some(String::new()), None),
            Some(Open { path, kind }) => match kind {
                Kind::Sequence { items } => {
                    *items += 1;
                    let item = *items - 1;
                    (path.as_ref().map(|path| format!("{path}[{item}]")), None)
                }
                Kind::Mapping { key } => {
                    let Some((key, key_place)) = key.take() else {
                        // A key that is a list or a mapping: `node` calls it `?`, too.
                        *key = Some((text.unwrap_or("?").to_owned(), place));
                        return None;
                    };
                    (path.as_ref().map(|path| child(path, &key)), Some(key_place))
                }
            },
        };
        let path = path?;
        let found = self.wanted.get_mut(&path)?;
        // The parser puts an empty value at the end of the line: the key's place is better.
        let value = match (text, key) {
            (Some(""), Some(key)) => key,
            _ => place,
        };
        *found = Some(Found { key, value });
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
services:
  - address: a
    servers:
      - {address: x, weight: 3}
      - address: &y y
        weight:
  - address: *y
";

    fn at(line: usize, column: usize) -> Option<Place> {
        Some(Place { line, column })
    }

    fn value(text: &str, path: &str) -> Option<Place> {
        Places::of(text, [path]).value(path)
    }

    fn key(text: &str, path: &str) -> Option<Place> {
        Places::of(text, [path]).key(path)
    }

    #[test]
    fn values_and_keys_are_found_by_their_paths() {
        assert_eq!(value(TEXT, "services[0].address"), at(2, 14));
        assert_eq!(key(TEXT, "services[0].address"), at(2, 5));
        assert_eq!(value(TEXT, "services[0].servers[0].weight"), at(4, 30));
        assert_eq!(value(TEXT, "services[0].servers[1].weight"), at(6, 9));
        assert_eq!(value(TEXT, "services[1].address"), at(7, 14));
    }

    #[test]
    fn a_value_that_is_absent_has_the_place_of_its_parent() {
        assert_eq!(value(TEXT, "services[1].scheduler"), at(7, 5));
        assert_eq!(value(TEXT, "timeouts.tcp"), at(1, 1));
        assert_eq!(value("", "services"), None);
    }

    #[test]
    fn in_a_text_that_is_not_yaml_the_places_before_the_error_are_found() {
        assert_eq!(value("a: 1\nb: [\n", "a"), at(1, 4));
    }

    #[test]
    fn of_a_key_written_twice_the_second_is_found() {
        assert_eq!(key("a: 1\na: 2\n", "a"), at(2, 1));
    }

    #[test]
    fn depth_and_long_keys_cost_no_more_than_the_text() {
        let deep = format!("a:\n {}x", "- ".repeat(100_000));
        assert_eq!(value(&deep, "a"), at(2, 2));
        let key = "k".repeat(100_000);
        let long = format!("? {key}\n: [{}]\nb: 1", "x,".repeat(100_000));
        assert_eq!(value(&long, "b"), at(3, 4));
    }
}
