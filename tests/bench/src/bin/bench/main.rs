//! The benchmark. `cargo xtask bench` builds and runs it.

mod arguments;
mod comparison;
mod files;
mod progress;
mod screen;

use std::{cell::RefCell, env, io, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser;
use lb_bench::{Observer, Report, Row, compare::Comparison, guest, report::Origin};

use crate::{
    arguments::{Arguments, Asked},
    progress::Progress,
    screen::Screen,
};

fn main() -> ExitCode {
    // The virtual machine runs this program with this argument.
    let inside: Vec<String> = env::args().skip(1).collect();
    let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
    if let [guest::INSIDE, effort @ ..] = &inside[..] {
        return match guest::measure_inside(effort, io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let asked = match Arguments::parse().asked() {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything was measured and nothing got worse.
fn run(asked: &Asked) -> Result<bool> {
    let (report, complete) = match &asked.from {
        Some(report) => (asked.part_of(report), true),
        None => measure(asked),
    };
    let mut screen = Screen::stdout();
    if asked.from.is_some() {
        screen.origin(&report.origin);
        report.rows.iter().for_each(|row| screen.row(row));
    }
    if report.rows.is_empty() {
        bail!("there is no figure: nothing was measured, or --only leaves nothing");
    }
    screen.summary(&report.rows);
    for file in files::write(asked, &report)? {
        screen.line(&format!("wrote {}", file.display()));
    }
    let Some(old) = &asked.compare else {
        return Ok(complete);
    };
    let old = asked.part_of(old);
    let comparison = Comparison::of(&old, &report, asked.threshold);
    screen.line("");
    comparison::show(&mut screen, &comparison, &old.origin, &report.origin);
    Ok(complete && comparison.worse().next().is_none())
}

/// Measures what the user wants. When a group fails, the others are still measured.
fn measure(asked: &Asked) -> (Report, bool) {
    let run = Run {
        asked,
        group: RefCell::default(),
        progress: Progress::start(),
        screen: RefCell::new(Screen::stdout()),
        rows: RefCell::default(),
    };
    let origin = Origin::here();
    run.screen.borrow_mut().origin(&origin);
    let mut complete = true;
    for group in &asked.groups {
        run.group.replace(group.name);
        run.progress.begins(group.name, "preparations");
        let measured = (group.measure)(asked.length, &run);
        run.progress.ends();
        if let Err(error) = measured {
            eprintln!("error: group {:?}: {error:#}", group.name);
            complete = false;
        }
    }
    let rows = run.rows.take();
    (Report { origin, rows }, complete)
}

/// The state of a run.
struct Run<'a> {
    asked: &'a Asked,
    group: RefCell<&'static str>,
    progress: Progress,
    screen: RefCell<Screen>,
    rows: RefCell<Vec<Row>>,
}

impl Observer for Run<'_> {
    fn wants(&self, case: &str) -> bool {
        self.asked.wants(case)
    }

    fn begins(&self, what: &str) {
        self.progress.begins(&self.group.borrow(), what);
    }

    fn done(&self, row: Row) {
        if !self.wants(&row.case) {
            return;
        }
        self.progress.ends();
        self.screen.borrow_mut().row(&row);
        self.progress.begins(&row.group, "the next row");
        self.rows.borrow_mut().push(row);
    }
}
