//! Types with a few values: each value has a word.

/// A type with a few values travels as its words; `$received` reads a word that arrives.
macro_rules! words {
    ($type:ident, $hint:literal, $received:path) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::fault::Fault;

            fn from_str(word: &str) -> Result<Self, $crate::fault::Fault> {
                Self::parse(word)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(from)?;
                $received(&word).map_err(serde::de::Error::custom)
            }
        }

        impl $crate::values::value::Value for $type {
            const HINT: &'static str = $hint;

            fn words() -> Vec<&'static str> {
                Self::usable()
            }

            fn from_text(word: &str) -> Result<Self, $crate::fault::Fault> {
                Self::parse(word)
            }

            fn text(&self) -> String {
                self.name().to_owned()
            }
        }
    };
}
pub(super) use words;
