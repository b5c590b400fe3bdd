//! What a file has besides its meaning, and would lose if it were written anew.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{places::Place, without_mark};

/// Comments and aliases of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Where comments begin.
    pub comments: Vec<Place>,
    /// Where aliases (`*name`) are.
    pub aliases: Vec<Place>,
}

impl Extras {
    /// True if there is nothing to lose.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.comments.is_empty() && self.aliases.is_empty()
    }
}

/// Looks for comments and aliases, also in a text that is not YAML.
#[must_use]
pub fn extras(text: &str) -> Extras {
    // Behind a byte order mark, `#` would not begin a comment.
    let text = without_mark(text);
    let mut extras = Extras::default();
    // What is in quotes, or a block of text, in characters from the beginning.
    let mut quoted = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        match event {
            Event::Scalar(_, style, ..) if style != ScalarStyle::Plain => {
                quoted.push(span.start.index()..span.end.index());
            }
            Event::Alias(_) => extras.aliases.push(span.start.into()),
            _ => {}
        }
    }
    let mut quoted = quoted.into_iter().peekable();
    let (mut place, mut before) = (Place { line: 1, column: 1 }, ' ');
    let mut in_comment = false;
    for (index, character) in text.chars().enumerate() {
        while quoted.next_if(|quoted| quoted.end <= index).is_some() {}
        let is_quoted = quoted.peek().is_some_and(|quoted| quoted.contains(&index));
        if character == '#' && before.is_whitespace() && !is_quoted && !in_comment {
            extras.comments.push(place);
            in_comment = true;
        }
        place.column += 1;
        if character == '\n' {
            place = Place {
                line: place.line + 1,
                column: 1,
            };
            in_comment = false;
        }
        before = character;
    }
    extras
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_aliases_are_found_and_what_only_looks_like_them_is_not() {
        let text = "\
# the shop
interfaces: [eth0] # uplink # twice
services:
  - address: 192.0.2.1:80
    name: a#b
    description: \"issue #5\"
    servers: &pool [{address: 10.0.0.1, description: 'no # comment'}]
  #- address: 192.0.2.3:80
  - {address: 192.0.2.2:80, servers: *pool}";
        let found = extras(text);
        let at = |places: &[Place]| -> Vec<_> {
            let places = places.iter();
            places.map(|place| (place.line, place.column)).collect()
        };
        assert_eq!(at(&found.comments), [(1, 1), (2, 20), (8, 3)]);
        assert_eq!(at(&found.aliases), [(9, 38)]);
        assert!(extras("services: []\n").is_empty());
        assert_eq!(extras("\u{feff}# x\nservices: []\n").comments.len(), 1);
        assert_eq!(extras("[\n # x\n").comments.len(), 1);
    }
}
