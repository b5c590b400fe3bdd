//! The groups of measurements: an entry for each.

use anyhow::Result;

use crate::{connections, control, guest, observer::Observer, path, program};

/// Measurements that belong together.
pub struct Group {
    /// Its name, on the command line and in rows.
    pub name: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// Whether it is measured when no group is named.
    pub by_default: bool,
    /// Measures it.
    pub measure: fn(Length, &dyn Observer) -> Result<()>,
}

/// All of them, in the order in which they are measured.
pub const GROUPS: &[Group] = &[
    Group {
        name: "program",
        question: "What does the director's program cost for each packet, alone?",
        by_default: true,
        measure: |length, observer| {
            let effort = program::Effort {
                samples: length.samples(15, 5),
                packets: if length.quick { 100_000 } else { 300_000 },
            };
            program::measure(effort, observer)
        },
    },
    Group {
        name: "path",
        question: "How many packets go through the director, and through the kernel?",
        by_default: true,
        measure: |length, observer| {
            let effort = path::Effort {
                samples: length.samples(25, 5),
                packets: 200_000,
                connections: 200_000,
            };
            path::measure(effort, path::Clock::Time, |row| observer.done(row))
        },
    },
    Group {
        name: "guest",
        question: "How many instructions does a packet take, compared with IPVS?",
        // It needs a virtual machine with another kernel.
        by_default: false,
        measure: |length, observer| {
            // There, all packets take the same number of instructions: a few are enough.
            let effort = path::Effort {
                samples: length.samples(3, 1),
                // The kernel's periodic work, half a million instructions from time to time, is
                // divided by this number.
                packets: 40_000,
                connections: 200_000,
            };
            guest::measure(effort, |row| observer.done(row))
        },
    },
    Group {
        name: "connections",
        question: "How fast are connections opened, and what do many of them cost?",
        by_default: true,
        measure: |length, observer| {
            let effort = connections::Effort {
                samples: length.samples(5, 2),
                clients: 16,
                seconds: 2,
                visits: 2_000,
                held: if length.quick {
                    &[1_000_000]
                } else {
                    &[1_000_000, 10_000_000]
                },
            };
            connections::measure(effort, |row| observer.done(row))
        },
    },
    Group {
        name: "control",
        question: "How long does the operator wait?",
        by_default: true,
        measure: |length, observer| {
            let effort = control::Effort {
                samples: length.samples(3, 1),
                edits: 15,
                services: if length.quick {
                    &[1_000]
                } else {
                    &[1_000, 10_000]
                },
                connections: 1_000_000,
            };
            control::measure(effort, |row| observer.done(row))
        },
    },
];

/// How long to measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Length {
    /// Only long enough to see whether it works, and roughly how fast.
    pub quick: bool,
    /// Values for each figure, if the user gave a number.
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
