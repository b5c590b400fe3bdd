//! A value of a file as text, whatever it is going to be.

use serde_json::Value as Json;

use crate::fault::Fault;

/// A value of a file that is one word or number, as text.
pub fn word(value: &Json) -> Result<String, Fault> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Bool(_) | Json::Number(_) => Ok(value.to_string()),
        Json::Null => Err(Fault::new(
            "it has no value: give one, or leave the key out",
        )),
        Json::Array(_) => Err(not_single("list")),
        Json::Object(_) => Err(not_single("mapping")),
    }
}

/// A value of a file that is a text. A number is not: a file may write it in another way than
/// it is read, as `1.10`.
pub fn text(value: &Json) -> Result<&str, Fault> {
    match value {
        Json::String(text) => Ok(text),
        Json::Bool(_) | Json::Number(_) => Err(Fault::new(
            "a number or truth value cannot be a text: put it in quotes",
        )),
        Json::Null => Err(Fault::new(
            "it has no value: give one, or leave the key out",
        )),
        Json::Array(_) => Err(not_single("list")),
        Json::Object(_) => Err(not_single("mapping")),
    }
}

fn not_single(found: &str) -> Fault {
    Fault::new(format!(
        "this is a {found}, expected a single value (in quotes if it has brackets or braces)"
    ))
}
