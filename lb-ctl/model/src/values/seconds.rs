//! Times.

use serde::{Deserialize, Serialize};

use super::value::Value;
use crate::{fault::Fault, rules, spelling};

/// A time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub struct Seconds(pub u32);

impl TryFrom<u32> for Seconds {
    type Error = Fault;

    fn try_from(seconds: u32) -> Result<Self, Fault> {
        spelling::seconds(&seconds.to_string(), rules::SECONDS).map(Self)
    }
}

impl Value for Seconds {
    const HINT: &'static str = "TIME";

    fn from_text(text: &str) -> Result<Self, Fault> {
        spelling::seconds(text, rules::SECONDS).map(Self)
    }

    fn text(&self) -> String {
        format!("{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn a_time_comes_back_as_it_was_written() {
        comes_back(Seconds(900));
    }

    #[test]
    fn a_time_that_is_out_of_range_is_not_received() {
        let received = |json| serde_json::from_str::<Seconds>(json);
        assert_eq!(received("1").unwrap(), Seconds(1));
        assert!(received("0").unwrap_err().to_string().contains("1s to"));
    }
}
