//! Writes a comparison of two reports for people.

use std::io::Write;

use lb_bench::{
    Row,
    compare::{Change, Comparison, Verdict},
    figures::figure,
    report::Origin,
};

use crate::screen::{GREEN, RED, Screen};

/// Writes all rows, and how each has changed.
pub fn show<W: Write>(screen: &mut Screen<W>, comparison: &Comparison, old: &Origin, new: &Origin) {
    screen.line(&format!(
        "compared with commit {}, {}",
        old.commit, old.date
    ));
    if (&old.cpu, &old.kernel) != (&new.cpu, &new.kernel) {
        screen.line(&format!(
            "which ran on another machine: Linux {}, {} × {}",
            old.kernel, old.cpus, old.cpu
        ));
    }
    let changes = &comparison.changes;
    let width = |change: &Change| name(change.new).chars().count();
    let width = changes.iter().map(width).max().unwrap_or(0);
    for change in changes {
        let verdict = match change.verdict {
            Verdict::Better => screen.paint(GREEN, "better"),
            Verdict::Same => "same".to_owned(),
            Verdict::Worse => screen.paint(RED, "WORSE"),
        };
        let unit = change.new.unit;
        let [old, new] = [change.old, change.new].map(|row| figure(unit, row.median()));
        let noise = figure(unit, change.noise);
        screen.line(&format!(
            "{:width$} {old:>9} → {new:>9} {:19} {:>+7.1} %  noise ± {noise:<8} {verdict}",
            name(change.new),
            unit.name(),
            change.percent(),
        ));
    }
    for row in &comparison.gone {
        screen.line(&format!("{}: only in the older report", name(row)));
    }
    for row in &comparison.added {
        screen.line(&format!("{}: only in the newer report", name(row)));
    }
    let machine = comparison.machine().count();
    if machine > 0 {
        screen.line(&format!(
            "\nThe machine itself was not the same: references that changed: {machine}. They \
             count neither way; think twice about the rest."
        ));
    }
    let worse = comparison.worse().count();
    screen.line(&match worse {
        0 => "\nnothing got worse beyond noise".to_owned(),
        _ => format!("\n{worse} of {} rows got worse beyond noise", changes.len()),
    });
}

fn name(row: &Row) -> String {
    format!("{}: {}", row.group, row.case)
}
