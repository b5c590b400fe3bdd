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
    group(
        "program",
        "What does the director's program cost for each packet, alone?",
        measure_program,
    ),
    group(
        "path",
        "How many packets go through the director, and through the kernel?",
        measure_path,
    ),
    Group {
        // It needs a virtual machine with another kernel.
        by_default: false,
        ..group(
            "guest",
            "How many instructions does a packet take, compared with IPVS?",
            measure_guest,
        )
    },
    group(
        "connections",
        "How fast are connections opened, and what do many of them cost?",
        measure_connections,
    ),
    group(
        "control",
        "How long does the operator wait?",
        measure_control,
    ),
];

const fn group(
    name: &'static str,
    question: &'static str,
    measure: fn(Length, &dyn Observer) -> Result<()>,
) -> Group {
    Group {
        name,
        question,
        by_default: true,
        measure,
    }
}

fn measure_program(length: Length, observer: &dyn Observer) -> Result<()> {
    let effort = program::Effort {
        samples: length.samples(15, 5),
        packets: length.either(300_000, 100_000),
    };
    program::measure(effort, observer)
}

fn measure_path(length: Length, observer: &dyn Observer) -> Result<()> {
    let effort = path::Effort {
        samples: length.samples(25, 5),
        packets: 200_000,
        connections: 200_000,
    };
    path::measure(effort, path::Clock::Time, |row| observer.done(row))
}

fn measure_guest(length: Length, observer: &dyn Observer) -> Result<()> {
    // There, all packets take the same number of instructions: a few are enough.
    let effort = path::Effort {
        samples: length.samples(3, 1),
        // The kernel's periodic work, half a million instructions from time to time, is divided by
        // this number.
        packets: 40_000,
        connections: 200_000,
    };
    guest::measure(effort, |row| observer.done(row))
}

fn measure_connections(length: Length, observer: &dyn Observer) -> Result<()> {
    let effort = connections::Effort {
        samples: length.samples(5, 2),
        clients: 16,
        seconds: 2,
        visits: 2_000,
        held: length.either(&[1_000_000, 10_000_000], &[1_000_000]),
    };
    connections::measure(effort, |row| observer.done(row))
}

fn measure_control(length: Length, observer: &dyn Observer) -> Result<()> {
    let effort = control::Effort {
        samples: length.samples(3, 1),
        edits: 15,
        services: length.either(&[1_000, 10_000], &[1_000]),
        connections: 1_000_000,
    };
    control::measure(effort, |row| observer.done(row))
}

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
        self.samples.unwrap_or(self.either(usual, quick))
    }

    fn either<T>(self, usual: T, quick: T) -> T {
        if self.quick { quick } else { usual }
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
