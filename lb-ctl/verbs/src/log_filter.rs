//! What the daemon logs: `--log LEVEL`, or `--log PART=LEVEL,...`.
//!
//! The filter of `tracing` takes a word that is no level for the name of a part, and then logs
//! errors only. Here such a word is refused.

use std::str::FromStr;

use lb_model::{
    Fault,
    spelling::{alternatives, did_you_mean},
};
use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The crates that log, and the program in the kernel.
const PARTS: [&str; 6] = [
    "lb_api",
    "lb_dataplane",
    "lb_director",
    "lb_ebpf",
    "lb_network",
    "aya",
];

/// Levels, of everything and of parts, as the filter of `tracing` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter itself.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let mut all = None;
        let mut parts = Vec::new();
        for word in text.split(',').map(str::trim) {
            match word.split_once('=') {
                None => all = Some(level(word)?),
                Some((part, of_part)) => {
                    parts.push(format!("{}={}", known(part)?, level(of_part)?));
                }
            }
        }
        parts.insert(0, all.unwrap_or_else(|| "info".to_owned()));
        Ok(Self(parts.join(",")))
    }
}

fn level(word: &str) -> Result<String, Fault> {
    let lower = word.to_ascii_lowercase();
    if LEVELS.contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err(Fault::new(format!(
        "`{}` is not a valid log level: use {}{}; or PART=LEVEL, where PART is {}",
        word.escape_debug(),
        alternatives(&LEVELS),
        did_you_mean(word, &LEVELS),
        alternatives(&PARTS),
    )))
}

/// A part, or a module in it: `lb_director::core`.
fn known(part: &str) -> Result<&str, Fault> {
    let name = part.split("::").next().unwrap_or_default();
    let rest = part[name.len()..].bytes();
    let is_path = { rest }.all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
    if PARTS.contains(&name) && is_path {
        return Ok(part);
    }
    Err(Fault::new(format!(
        "`{}` is not a part that can be logged: use {}{}",
        part.escape_debug(),
        alternatives(&PARTS),
        did_you_mean(name, &PARTS),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_all_and_of_parts_are_taken() {
        for (text, filter) in [
            ("debug", "debug"),
            ("WARN", "warn"),
            ("lb_network=trace", "info,lb_network=trace"),
            (
                "lb_director::core=debug, error",
                "error,lb_director::core=debug",
            ),
        ] {
            let read: LogFilter = text.parse().unwrap();
            assert_eq!(read.0, filter);
            assert!(EnvFilter::try_new(&read.0).is_ok());
        }
    }

    #[test]
    fn a_word_that_would_silence_everything_is_refused() {
        for (text, why) in [
            ("inof", "did you mean `info`?"),
            ("verbose", "use error, warn, info, debug, trace or off"),
            ("", "not a valid log level"),
            ("info,", "not a valid log level"),
            ("lb_directr=debug", "did you mean `lb_director`?"),
            ("lb_director=debgu", "did you mean `debug`?"),
            ("lb_director[span]=debug", "not a part"),
            ("=info", "not a part"),
        ] {
            let fault = text.parse::<LogFilter>().unwrap_err().to_string();
            assert!(fault.contains(why), "{text:?}: {fault}");
        }
    }
}
