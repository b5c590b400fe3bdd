//! The benchmark. `cargo xtask bench` builds and runs it.

use std::io::{self, Write};

use anyhow::Result;
use lb_tests::bench::{Row, connections, control, program};

fn main() -> Result<()> {
    let group = std::env::args().nth(1).unwrap_or_default();
    match group.as_str() {
        "connections" => connections::measure(
            connections::Effort {
                samples: 5,
                clients: 16,
                seconds: 2,
                visits: 2_000,
                held: &[1_000_000, 10_000_000],
            },
            print(),
        ),
        "control" => control::measure(
            control::Effort {
                samples: 3,
                edits: 15,
                services: &[1_000, 10_000],
                connections: 1_000_000,
            },
            print(),
        ),
        _ => program::measure(
            program::Effort {
                samples: 9,
                packets: 300_000,
            },
            print(),
        ),
    }
}

fn print() -> impl FnMut(Row) {
    let mut out = io::stdout().lock();
    move |row| {
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
            "{:75} {:8.1} {:8.1} {:8.1} {}  {target}",
            row.case,
            row.median(),
            row.quantile(0.1),
            row.quantile(0.9),
            row.unit.name()
        );
    }
}
