//! Where in a YAML text each value stands.
//!
//! serde knows the place of what it refuses itself and forgets it for the rest; what is
//! found wrong later is looked up here, by the path that leads to it.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser};

/// A line and a column, in characters, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// The places that were asked for, and those of all that they are part of.
#[derive(Debug, Default)]
pub struct Places(HashMap<String, Option<Found>>);

#[derive(Clone, Copy, Debug)]
struct Found {
    key: Option<Place>,
    value: Place,
}

impl Places {
    /// Looks for `paths`, as far as the text is YAML. Of a key that is written twice, the
    /// second counts.
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

    /// Where the value at `path` begins; where there is none, what it would be part of.
    pub fn value(&self, path: &str) -> Option<Place> {
        self.nearest(path).map(|found| found.value)
    }

    /// Where the key at the end of `path` begins; an item of a list has none but its value.
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

/// `services[1]` of `services[1].address`, `services` of `services[1]`, nothing of `services`.
pub fn parent(path: &str) -> &str {
    path.rfind(['.', '['])
        .and_then(|end| path.get(..end))
        .unwrap_or("")
}

/// `services[1].address`: a key below a path.
pub fn child(path: &str, key: &str) -> String {
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

/// The way down to where the parser is. Paths are built for what is wanted alone: a text
/// can be deep, and keys can be long.
#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    wanted: HashMap<String, Option<Found>>,
}

struct Open {
    /// Nothing where nothing below is wanted.
    path: Option<String>,
    kind: Kind,
}

enum Kind {
    Sequence {
        items: usize,
    },
    /// `key` is what the next value belongs to; without one, a key is to come.
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

    /// Notes a node, and gives its path if it is wanted. `text` is that of a scalar.
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
                        // A key that is no scalar is none of ours; its path leads nowhere.
                        *key = Some((text.unwrap_or("?").to_owned(), place));
                        return None;
                    };
                    (path.as_ref().map(|path| child(path, &key)), Some(key_place))
                }
            },
        };
        let path = path?;
        let found = self.wanted.get_mut(&path)?;
        // A value that is not there has no good place of its own.
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
    fn what_is_absent_stands_where_it_would_belong() {
        assert_eq!(value(TEXT, "services[1].scheduler"), at(7, 5));
        assert_eq!(value(TEXT, "timeouts.tcp"), at(1, 1));
        assert_eq!(value("", "services"), None);
    }

    #[test]
    fn a_text_that_is_no_yaml_gives_what_stands_before() {
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
