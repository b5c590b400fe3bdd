//! Persistence: how long clients keep their server, and the mask by which clients are taken for
//! one.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{seconds::Seconds, value::Value};
use crate::{
    fault::Fault,
    rules,
    spelling::{alternatives, as_text, did_you_mean},
};

/// How long clients keep their server, and which clients are taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Since the last connection.
    pub timeout: Seconds,
    /// Clients whose addresses are alike under it are one.
    #[serde(default)]
    pub netmask: Mask,
}

const KEYS: [&str; 2] = ["timeout", "netmask"];

impl Value for Persistence {
    const HINT: &'static str = "TIME[/NETMASK]";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let (timeout, netmask) = match text.split_once('/') {
            Some((timeout, mask)) => (timeout, mask.parse()?),
            None => (text, Mask::Whole),
        };
        Ok(Self {
            timeout: Seconds::from_text(timeout)?,
            netmask,
        })
    }

    fn text(&self) -> String {
        match self.netmask {
            Mask::Whole => self.timeout.text(),
            mask => format!("{}/{mask}", self.timeout.text()),
        }
    }

    fn from_file(value: &Json) -> Result<Self, Fault> {
        let Json::Object(keys) = value else {
            return Err(Fault::new(
                "expected a mapping such as `{timeout: 60s, netmask: 255.255.255.0}`",
            ));
        };
        let unknown: Vec<_> = keys
            .keys()
            .filter(|key| !KEYS.contains(&key.as_str()))
            .collect();
        if !unknown.is_empty() {
            let unknown: Vec<_> = unknown
                .iter()
                .map(|key| format!("`{}`{}", key.escape_debug(), did_you_mean(key, &KEYS)))
                .collect();
            return Err(Fault::new(format!(
                "unknown key {}: use {}",
                alternatives(&unknown.iter().map(String::as_str).collect::<Vec<_>>()),
                alternatives(&KEYS)
            )));
        }
        let mut persistence = Self {
            timeout: Seconds(rules::DEFAULT_PERSISTENCE),
            netmask: Mask::Whole,
        };
        for (key, value) in keys {
            match key.as_str() {
                "timeout" => persistence.timeout = Seconds::from_file(value)?,
                "netmask" => {
                    let word = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    persistence.netmask = word.parse()?;
                }
                _ => {} // refused above
            }
        }
        Ok(persistence)
    }

    fn file(&self) -> Json {
        let mut keys = serde_json::Map::new();
        keys.insert("timeout".into(), self.timeout.file());
        match self.netmask {
            Mask::Whole => {}
            Mask::V4(mask) => {
                keys.insert("netmask".into(), mask.to_string().into());
            }
            Mask::V6(bits) => {
                keys.insert("netmask".into(), bits.into());
            }
        }
        Json::Object(keys)
    }
}

/// A part of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mask {
    /// All of it, of whatever family.
    #[default]
    Whole,
    /// Of IPv4, bit by bit.
    V4(Ipv4Addr),
    /// Of IPv6, so many bits from the left.
    V6(u8),
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.pad("whole"),
            Self::V4(mask) => mask.fmt(f),
            Self::V6(bits) => write!(f, "{bits}"),
        }
    }
}

impl FromStr for Mask {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text == "whole" {
            return Ok(Self::Whole);
        }
        if let Ok(mask) = text.parse() {
            return Ok(Self::V4(mask));
        }
        match text.parse() {
            Ok(bits @ 1..=128) => Ok(Self::V6(bits)),
            _ => Err(Fault::new(format!(
                "`{}` is not a mask: write it like 255.255.255.0, or for IPv6 a number of bits",
                text.escape_debug()
            ))),
        }
    }
}

as_text!(Mask);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn persistence_comes_back_as_it_was_written() {
        for netmask in [Mask::Whole, Mask::V4([255, 255, 0, 0].into()), Mask::V6(64)] {
            comes_back(Persistence {
                timeout: Seconds(60),
                netmask,
            });
        }
    }

    #[test]
    fn unknown_keys_are_told_together_with_what_is_likely_meant() {
        for (keys, told) in [
            (
                json!({"timout": "60s", "mask": 24}),
                &[
                    "`timout` (did you mean `timeout`?)",
                    "`mask` (did you mean `netmask`?)",
                ][..],
            ),
            (json!({"ttl": 60}), &["`ttl` (did you mean `timeout`?)"]),
            (json!({"granularity": 24}), &["(did you mean `netmask`?)"]),
            (
                json!({"x": 1}),
                &["unknown key `x`: use timeout or netmask"],
            ),
        ] {
            let fault = Persistence::from_file(&keys).unwrap_err().to_string();
            for words in told {
                assert!(fault.contains(words), "{fault}");
            }
        }
    }
}
