//! What there is to measure: a line for each group.

use anyhow::Result;

use super::{Row, program};

/// Measurements that belong together.
pub struct Group {
    /// As on the command line, and as its rows say.
    pub name: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// Whether it is measured where nobody asks for groups.
    pub by_default: bool,
    /// Measures it.
    pub measure: fn(Length, &dyn Observer) -> Result<()>,
}

/// All of them, in the order in which they are measured.
pub const GROUPS: &[Group] = &[Group {
    name: "program",
    question: "What does the director's program cost for each packet, alone?",
    by_default: true,
    measure: |length, observer| {
        let effort = program::Effort {
            samples: length.samples(9, 5),
            packets: if length.quick { 100_000 } else { 300_000 },
        };
        program::measure(effort, observer)
    },
}];

/// How long to measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Length {
    /// Just long enough to see whether it works, and roughly how fast.
    pub quick: bool,
    /// Values for each figure, where somebody asked for a number.
    pub samples: Option<u32>,
}

impl Length {
    /// Values for each figure.
    #[must_use]
    pub fn samples(self, usual: u32, quick: u32) -> u32 {
        let own = if self.quick { quick } else { usual };
        self.samples.unwrap_or(own)
    }
}

/// Whoever follows what is measured, and says what need not be.
pub trait Observer {
    /// Whether this row is asked for. A group may measure it all the same.
    fn wants(&self, case: &str) -> bool;
    /// This begins: a row, or what prepares for rows.
    fn begins(&self, what: &str);
    /// A row is there.
    fn done(&self, row: Row);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_samples_that_was_asked_for_is_that_of_quick_runs_too() {
        let quick = Length {
            quick: true,
            samples: None,
        };
        assert_eq!(quick.samples(9, 4), 4);
        assert_eq!(Length::default().samples(9, 4), 9);
        let asked = Length {
            samples: Some(5),
            ..quick
        };
        assert_eq!(asked.samples(9, 4), 5);
    }
}
