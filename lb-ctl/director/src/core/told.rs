//! Lines for the log.

use super::event::By;

/// Lines for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How loud.
    pub level: Level,
    /// The lines.
    pub lines: Vec<String>,
    /// Who asked for what they tell.
    pub by: Option<By>,
}

/// How loud something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// That it is so.
    Info,
    /// That somebody may have to do something.
    Warn,
    /// That somebody has to do something.
    Error,
}

impl Told {
    /// Lines that nobody asked for; nothing where there are none.
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
