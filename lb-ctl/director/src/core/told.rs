//! Lines for the log.

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
        let by = None;
        (!lines.is_empty()).then_some(Self { level, lines, by })
    }
}

/// The first ten lines, and how many more there are: `and 5 more servers cannot be reached yet`.
#[must_use]
pub fn first(mut lines: Vec<String>, and: &str, more: &str) -> Vec<String> {
    const SHOWN: usize = 10;
    if lines.len() > SHOWN {
        let others = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("{and} {others} {more}"));
    }
    lines
}
