//! Texts: names, and lines for people.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{value::Value, word::text};
use crate::{fault::Fault, rules, spelling::as_text};

/// What people call a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A line of text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// The name of a persistence engine: with `sip`, the clients of a Call-ID are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Engine(String);

/// A text that a rule lets through.
macro_rules! texts {
    ($($type:ident, $hint:literal, $rule:path;)*) => {$(
        impl $type {
            /// As it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = Fault;

            fn from_str(text: &str) -> Result<Self, Fault> {
                $rule(text).map(|()| Self(text.to_owned()))
            }
        }

        as_text!($type);

        impl Value for $type {
            const HINT: &'static str = $hint;

            fn from_text(text: &str) -> Result<Self, Fault> {
                text.parse()
            }

            fn text(&self) -> String {
                self.0.clone()
            }

            fn from_file(value: &Json) -> Result<Self, Fault> {
                text(value)?.parse()
            }
        }
    )*};
}

texts! {
    Name, "NAME", rules::name;
    Text, "TEXT", rules::text;
    Engine, "ENGINE", rules::engine;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn texts_come_back_as_they_were_written() {
        comes_back("主页-1.example@site".parse::<Name>().unwrap());
        comes_back("What it is for: \"everything\"".parse::<Text>().unwrap());
    }

    #[test]
    fn a_number_is_no_text() {
        let number = Name::from_file(&Json::from(1)).unwrap_err().to_string();
        assert!(number.contains("put it in quotes"), "{number}");
    }
}
