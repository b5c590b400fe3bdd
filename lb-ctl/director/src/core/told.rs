//! Lines for the log.

use lb_model::spelling::count;

use super::event::By;

/// Some lines of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Their level in the log.
    pub level: Level,
    /// The lines.
    pub lines: Vec<String>,
    /// Who asked for the change that they tell of.
    pub by: Option<By>,
    /// What they are about, if it may change often: such lines are told less and less often.
    pub about: Option<String>,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing needs to be done.
    Info,
    /// Somebody may have to do something.
    Warn,
    /// Somebody has to do something.
    Error,
}

impl Told {
    /// Lines about something that nobody asked for; `None` if there are no lines.
    #[must_use]
    pub fn lines(level: Level, lines: Vec<String>) -> Option<Self> {
        (!lines.is_empty()).then_some(Self {
            level,
            lines,
            by: None,
            about: None,
        })
    }

    /// A line about something that may change often.
    #[must_use]
    pub fn about(level: Level, subject: String, line: &str) -> Self {
        Self {
            level,
            lines: vec![format!("{subject}: {line}")],
            by: None,
            about: Some(subject),
        }
    }
}

/// So many lines about the same are shown one by one.
pub const SHOWN: usize = 10;

/// The first ten lines, and how many more there are of the same `kind`: `and 5 more servers cannot
/// be reached yet`.
#[must_use]
pub fn first(mut lines: Vec<String>, and: &str, kind: &str, what: &str) -> Vec<String> {
    if lines.len() > SHOWN {
        let others = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        let others = count(others, &format!("more {kind}"));
        lines.push(format!("{and} {others} {what}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_server_is_not_several() {
        let lines = |number| {
            first(
                vec![String::new(); number],
                "and",
                "server",
                "cannot be reached yet",
            )
        };
        assert_eq!(lines(10).len(), 10);
        assert_eq!(lines(11)[10], "and 1 more server cannot be reached yet");
        assert_eq!(lines(12)[10], "and 2 more servers cannot be reached yet");
    }
}
