//! A YAML text as a tree of values, before anything is known about what they mean.

use std::{borrow::Cow, cell::Cell, fmt};

use lb_model::Fault;
use saphyr_parser::{Event, Parser};
use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor},
};
use serde_json::Value as Json;

use super::{
    faults::{Faults, Path},
    places::Place,
};

/// Brackets and braces that may be open at the same time; those in comments count too.
const MAX_BRACKETS: usize = 1000;

/// Values that a text may stand for even if it is short: with aliases, a short text can stand for
/// many.
const MIN_VALUES: usize = 1 << 20;

/// A value.
#[derive(Debug, PartialEq)]
pub enum Node {
    /// A word, number, truth value, or nothing.
    Single(Json),
    /// A list.
    List(Vec<Node>),
    /// A mapping, with its keys in the order in which they are written, also those that are
    /// written twice.
    Mapping(Vec<(String, Node)>),
    /// A value with a tag such as `!x`.
    Tagged,
}

impl Node {
    /// True for a key without a value.
    pub fn is_nothing(&self) -> bool {
        *self == Self::Single(Json::Null)
    }

    /// The value as JSON, which has no tags, and each key once.
    pub fn json(&self, path: &Path, faults: &mut Faults) -> Option<Cow<'_, Json>> {
        let value = match self {
            Self::Single(value) => return Some(Cow::Borrowed(value)),
            Self::List(items) => {
                let mut list = Vec::new();
                for (place, item) in items.iter().enumerate() {
                    list.push(item.json(&path.item(place), faults)?.into_owned());
                }
                Json::Array(list)
            }
            Self::Mapping(keys) => {
                let mut object = serde_json::Map::new();
                for (key, node) in keys {
                    let path = path.key(key);
                    let value = node.json(&path, faults)?.into_owned();
                    if object.insert(key.clone(), value).is_some() {
                        faults.written_twice(&path);
                        return None;
                    }
                }
                Json::Object(object)
            }
            Self::Tagged => {
                faults.value(path, Fault::new("this has a tag (`!...`): leave it out"));
                return None;
            }
        };
        Some(Cow::Owned(value))
    }
}

/// Why a text is not YAML.
pub struct NotYaml {
    /// If the place is known.
    pub place: Option<Place>,
    /// What is wrong.
    pub fault: Fault,
}

/// Reads a text.
pub fn read(text: &str) -> Result<Node, NotYaml> {
    // serde_yaml reads a text without any value as an empty mapping.
    if text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    }) {
        return Err(NotYaml {
            place: None,
            fault: Fault::new("the file is empty: to have no services, write `services: []`"),
        });
    }
    if let Some(place) = too_deep(text) {
        return Err(NotYaml {
            place: Some(place),
            fault: Fault::new(format!(
                "brackets are nested more than {MAX_BRACKETS} deep: is one not closed?"
            )),
        });
    }
    let left = Cell::new(MIN_VALUES.max(text.len()));
    let yaml = serde_yaml::Deserializer::from_str(text);
    Tree { left: &left }
        .deserialize(yaml)
        .map_err(|error| not_yaml(text, &error))
}

/// Where brackets are nested deeper than any file needs. The YAML readers take a time that grows
/// with the square of the depth.
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

fn not_yaml(text: &str, error: &serde_yaml::Error) -> NotYaml {
    let message = error.to_string();
    if message.contains("more than one document") {
        return NotYaml {
            place: second_document(text),
            fault: Fault::new(
                "a file can have only one document, and a line `---` starts another one here",
            ),
        };
    }
    let place = error.location().map(|location| Place {
        line: location.line(),
        column: location.column(),
    });
    let place_in_words = error
        .location()
        .map(|at| format!(" at line {} column {}", at.line(), at.column()))
        .unwrap_or_default();
    // The message repeats the place, and begins with the path at which the reader stopped, which
    // need not be the path of the fault.
    let message = message.replacen(&place_in_words, "", 1);
    let message = match message.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => message,
        _ => &message,
    };
    let indented_by_tab = place
        .and_then(|place| text.lines().nth(place.line.saturating_sub(1)))
        .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
    let hint = if indented_by_tab {
        " (YAML is indented by spaces, not by tabs)"
    } else {
        ""
    };
    NotYaml {
        place,
        fault: Fault::new(format!("{message}{hint}")),
    }
}

fn second_document(text: &str) -> Option<Place> {
    let events = Parser::new_from_str(text).map_while(Result::ok);
    let mut documents = events.filter(|(event, _)| matches!(event, Event::DocumentStart(_)));
    documents.nth(1).map(|(_, span)| span.start.into())
}

/// Builds the tree of what serde_yaml reads.
#[derive(Clone, Copy)]
struct Tree<'a> {
    /// How many values there may still be.
    left: &'a Cell<usize>,
}

impl Tree<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(E::custom("aliases make it longer than any file may be"));
        };
        self.left.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        self.count()?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Single(Json::Null))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Single(text.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Single(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Single(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Single(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // JSON has no word for infinity.
        let number = serde_json::Number::from_f64(value);
        let value = number.map_or_else(|| value.to_string().into(), Json::Number);
        Ok(Node::Single(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<Node, A::Error> {
        let mut mapping = Vec::new();
        while let Some(key) = keys.next_key_seed(self)? {
            let key = match key {
                Node::Single(Json::String(key)) => key,
                Node::Single(key) => key.to_string(),
                // `Places` calls such a key the same.
                Node::List(_) | Node::Mapping(_) | Node::Tagged => "?".to_owned(),
            };
            mapping.push((key, keys.next_value_seed(self)?));
        }
        Ok(Node::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (_tag, value) = tagged.variant_seed(self)?;
        value.newtype_variant_seed(self)?;
        Ok(Node::Tagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        match read(text) {
            Ok(node) => node,
            Err(error) => panic!("{text:?}: {}", error.fault),
        }
    }

    #[test]
    fn a_text_is_a_tree_in_which_keys_stand_as_often_as_they_are_written() {
        let single = |value: Json| Node::Single(value);
        assert_eq!(
            node("a: [1, x, true, ~, 1.5, !t y]\na: {0x10: }\n[b]: .inf\n"),
            Node::Mapping(vec![
                (
                    "a".into(),
                    Node::List(vec![
                        single(1.into()),
                        single("x".into()),
                        single(true.into()),
                        single(Json::Null),
                        single(1.5.into()),
                        Node::Tagged,
                    ])
                ),
                (
                    "a".into(),
                    Node::Mapping(vec![("16".into(), single(Json::Null))])
                ),
                ("?".into(), single("inf".into())),
            ])
        );
    }

    #[test]
    fn aliases_stand_for_what_they_name_but_not_for_more_than_a_file_can_hold() {
        assert_eq!(node("[&a x, *a]"), node("[x, x]"));
        let list = |item: &str| format!("[{}]", [item; 2000].join(", "));
        let text = format!("a: &a {}\nb: {}\n", list("x"), list("*a"));
        let error = read(&text).err().map(|error| error.fault.to_string());
        assert_eq!(
            error.as_deref(),
            Some("aliases make it longer than any file may be")
        );
    }
}
