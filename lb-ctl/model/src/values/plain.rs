//! Values without a type of their own: truth values and numbers.

use serde_json::Value as Json;

use super::value::Value;
use crate::{fault::Fault, spelling};

impl Value for bool {
    const HINT: &'static str = "yes|no";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "yes" | "true" | "on" => Ok(true),
            "no" | "false" | "off" => Ok(false),
            _ => Err(Fault::new(format!(
                "`{}` is neither yes nor no",
                text.escape_debug()
            ))),
        }
    }

    fn text(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }

    fn file(&self) -> Json {
        Json::Bool(*self)
    }
}

impl Value for u32 {
    const HINT: &'static str = "NUMBER";

    fn from_text(text: &str) -> Result<Self, Fault> {
        spelling::number(text, 0..=u32::MAX)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn file(&self) -> Json {
        Json::from(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn truth_values_and_numbers_come_back_as_they_were_written() {
        comes_back(true);
        comes_back(4_000_000_000u32);
    }

    #[test]
    fn a_key_without_a_value_says_so() {
        let nothing = u32::from_file(&Json::Null).unwrap_err().to_string();
        assert!(nothing.contains("no value"), "{nothing}");
    }
}
