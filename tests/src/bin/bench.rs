//! The benchmark. `cargo xtask bench` builds and runs it.

use std::{
    env,
    io::{self, Write},
};

use anyhow::Result;
use lb_tests::bench::{Row, guest, path, program};

const PROGRAM: program::Effort = program::Effort {
    samples: 9,
    packets: 300_000,
};
const PATH: path::Effort = path::Effort {
    samples: 25,
    packets: 200_000,
    connections: 200_000,
};
/// Every packet is the same there as the one before: a few are enough.
const GUEST: path::Effort = path::Effort {
    samples: 3,
    packets: 10_000,
    connections: 200_000,
};

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
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["path"] => path::measure(PATH, path::Clock::Time, done),
        ["guest"] => guest::measure(GUEST, done),
        [guest::INSIDE, ref effort @ ..] => guest::measure_inside(effort, io::stdout()),
        _ => program::measure(PROGRAM, done),
    }
}
