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

/// The places of one text.
#[derive(Debug, Default)]
pub struct Places(HashMap<String, Found>);

#[derive(Clone, Copy, Debug)]
struct Found {
    key: Option<Place>,
    value: Place,
}

impl Places {
    /// Reads as far as the text is YAML. Of a key that is written twice, the second counts.
    pub fn of(text: &str) -> Self {
        let mut walk = Walk::default();
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => walk.step(&event, span.start.into()),
                Err(_) => break,
            }
        }
        Self(walk.found)
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
            if let Some(found) = self.0.get(path) {
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

/// The way down to where the parser is.
#[derive(Default)]
struct Walk {
    open: Vec<Open>,
    found: HashMap<String, Found>,
}

struct Open {
    path: String,
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

    /// Notes a node, and gives its path. `text` is that of a scalar.
    fn begin(&mut self, text: Option<&str>, place: Place) -> String {
        let (path, key) = match self.open.last_mut() {
            None => (String::new(), None),
            Some(Open { path, kind }) => match kind {
                Kind::Sequence { items } => {
                    *items += 1;
                    (format!("{path}[{}]", *items - 1), None)
                }
                Kind::Mapping { key } => match key.take() {
                    Some((key, key_place)) => (child(path, &key), Some(key_place)),
                    None => {
                        // A key that is no scalar is none of ours; its path leads nowhere.
                        *key = Some((text.unwrap_or("?").to_owned(), place));
                        return child(path, "?");
                    }
                },
            },
        };
        // A value that is not there has no good place of its own.
        let value = match (text, key) {
            (Some(""), Some(key)) => key,
            _ => place,
        };
        self.found.insert(path.clone(), Found { key, value });
        path
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

    #[test]
    fn values_and_keys_are_found_by_their_paths() {
        let places = Places::of(TEXT);
        assert_eq!(places.value("services[0].address"), at(2, 14));
        assert_eq!(places.key("services[0].address"), at(2, 5));
        assert_eq!(places.value("services[0].servers[0].weight"), at(4, 30));
        assert_eq!(places.value("services[0].servers[1].weight"), at(6, 9));
        assert_eq!(places.value("services[1].address"), at(7, 14));
    }

    #[test]
    fn what_is_absent_stands_where_it_would_belong() {
        let places = Places::of(TEXT);
        assert_eq!(places.value("services[1].scheduler"), at(7, 5));
        assert_eq!(places.value("timeouts.tcp"), at(1, 1));
        assert_eq!(Places::of("").value("services"), None);
    }

    #[test]
    fn a_text_that_is_no_yaml_gives_what_stands_before() {
        let places = Places::of("a: 1\nb: [\n");
        assert_eq!(places.value("a"), at(1, 4));
    }

    #[test]
    fn of_a_key_written_twice_the_second_is_found() {
        assert_eq!(Places::of("a: 1\na: 2\n").key("a"), at(2, 1));
    }
}
