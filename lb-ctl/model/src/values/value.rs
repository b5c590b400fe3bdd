//! What all values have in common: the three ways in which each is read and written.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use super::word::word;
use crate::fault::Fault;

/// A value that an option can have.
pub trait Value: Clone + PartialEq + Serialize + DeserializeOwned {
    /// What stands for a value in help, such as `NAME`.
    const HINT: &'static str;

    /// The words for its values, where there are only a few that can be used.
    fn words() -> Vec<&'static str> {
        Vec::new()
    }

    /// From one word.
    fn from_text(text: &str) -> Result<Self, Fault>;

    /// As people read it; [`from_text`](Self::from_text) takes it.
    fn text(&self) -> String;

    /// From a value of a file.
    fn from_file(value: &Json) -> Result<Self, Fault> {
        Self::from_text(&word(value)?)
    }

    /// As a file says it; [`from_file`](Self::from_file) takes it.
    fn file(&self) -> Json {
        Json::String(self.text())
    }
}

/// An option that need not have a value. The word for none is empty.
impl<T: Value> Value for Option<T> {
    const HINT: &'static str = T::HINT;

    fn words() -> Vec<&'static str> {
        T::words()
    }

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "" => Ok(None),
            text => T::from_text(text).map(Some),
        }
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::text)
    }

    fn from_file(value: &Json) -> Result<Self, Fault> {
        T::from_file(value).map(Some)
    }

    fn file(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Name;

    #[test]
    fn an_empty_word_takes_an_option_away() {
        assert_eq!(Option::<Name>::from_text(""), Ok(None));
        assert!(Option::<Name>::from_file(&Json::String(String::new())).is_err());
    }
}
