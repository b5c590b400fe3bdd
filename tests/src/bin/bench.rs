//! The benchmark. `cargo xtask bench` builds and runs it.

use std::io::{self, Write};

use anyhow::Result;
use lb_tests::bench::{Row, path, program};

fn main() -> Result<()> {
    let mut out = io::stdout().lock();
    let done = |row: Row| {
        let target = row
            .target
            .as_ref()
            .map(|t| {
                format!(
                    "{:5.2} {} {}",
                    t.value,
                    t.text,
                    if t.met() { "ok" } else { "MISSED" }
                )
            })
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "{:45} {:8.1} {:8.1} {:8.1} {}  {target}",
            row.case,
            row.median(),
            row.quantile(0.1),
            row.quantile(0.9),
            row.unit.name()
        );
    };
    match std::env::args().nth(1).as_deref() {
        Some("path") => path::measure(
            path::Effort {
                samples: 25,
                packets: 200_000,
                connections: 200_000,
            },
            path::Clock::Time,
            done,
        ),
        _ => program::measure(
            program::Effort {
                samples: 9,
                packets: 300_000,
            },
            done,
        ),
    }
}
