//! The benchmark. `cargo xtask bench` builds and runs it.

use std::io::{self, Write};

use anyhow::Result;
use lb_tests::bench::program::{self, Effort};

fn main() -> Result<()> {
    let effort = Effort {
        samples: 9,
        packets: 300_000,
    };
    let mut out = io::stdout().lock();
    program::measure(effort, |row| {
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
    })
}
