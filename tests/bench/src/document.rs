//! Writes `performance.md` from a report: sentences, tables and plots.
//!
//! The sentences are in the template `performance.md`, next to this file.

use std::fmt::Write;

use anyhow::{Context, Result};
use minijinja::{
    Environment, UndefinedBehavior,
    value::{Serde, Value},
};
use serde::Serialize;

use super::{
    comparison,
    figures::{count, figure, flows_of, spread},
    groups::GROUPS,
    peer,
    plot::{self, Plot},
    program,
    report::{Origin, Report, Row, Unit},
};

const TEMPLATE: &str = include_str!("performance.md");

/// The time of a packet on one core when the program only transmits it, in nanoseconds, on the
/// machine of the XDP paper (CoNEXT 2018).
const BARE: f64 = 60.0;

/// A document: the text and its plots.
#[derive(Clone, Debug)]
pub struct Document {
    /// Markdown.
    pub text: String,
    /// In the order in which they are shown.
    pub plots: Vec<Plot>,
}

impl Document {
    /// The document of a report.
    pub fn of(report: &Report) -> Result<Self> {
        let plots = plot::plots(report)?;
        let mut environment = Environment::new();
        // Unknown names in the template are errors.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let told = Told {
            origin: &report.origin,
            peers: comparison::tables(report),
            groups: chapters(report, &plots),
            connections: count(program::CONNECTIONS),
            katran: katran(),
            bare: format!("{BARE:.0} ns"),
            projection: projection(report),
        };
        let text = environment
            .render_str(TEMPLATE, Value::from(Serde(told)))
            .context("fill in tests/bench/src/performance.md")?;
        Ok(Self { text, plots })
    }
}

/// The values that the template can use.
#[derive(Serialize)]
struct Told<'a> {
    origin: &'a Origin,
    peers: Vec<comparison::Peer>,
    groups: Vec<Chapter<'a>>,
    connections: String,
    katran: Vec<There>,
    bare: String,
    projection: Projection<'a>,
}

/// A group's values for the template.
#[derive(Serialize)]
struct Chapter<'a> {
    name: &'a str,
    title: String,
    question: &'a str,
    table: String,
    plots: Vec<Picture>,
}

#[derive(Serialize)]
struct Picture {
    title: &'static str,
    path: String,
}

fn chapters<'a>(report: &'a Report, plots: &[Plot]) -> Vec<Chapter<'a>> {
    let mut names: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !names.contains(&row.group.as_str()) {
            names.push(&row.group);
        }
    }
    let chapter = |name| {
        let group = GROUPS.iter().find(|group| group.name == name);
        let rows = report.rows.iter().filter(|row| row.group == name);
        let plots = plots.iter().filter(|plot| plot.group == name);
        Chapter {
            name,
            title: capitalised(name),
            question: group.map_or("", |group| group.question),
            table: table(rows),
            plots: plots
                .map(|plot| Picture {
                    title: plot.title,
                    path: plot.path(),
                })
                .collect(),
        }
    };
    names.into_iter().map(chapter).collect()
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut text =
        String::from("| case | median | 10th–90th percentile | unit |\n|:--|--:|--:|:--|\n");
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.case,
            figure(row.unit, row.median()),
            spread(row),
            row.unit.name(),
        );
    }
    text.trim_end().to_owned()
}

/// katran's time on the machine that it was measured on.
#[derive(Serialize)]
struct There {
    flows: String,
    lookup: String,
    takes: String,
}

fn katran() -> Vec<There> {
    let there = peer::THERE.into_iter();
    there
        .map(|(flows, lookup, takes)| There {
            flows: count(flows),
            lookup: format!("{lookup:.0} ns"),
            takes: format!("{takes:.0} ns"),
        })
        .collect()
}

/// Packet rates on one core, without virtual machine.
#[derive(Serialize)]
struct Projection<'a> {
    /// The numbers of flows.
    columns: Vec<String>,
    /// The kinds of packets, each with a rate for each number of flows.
    lines: Vec<(&'a str, Vec<String>)>,
}

/// Of known connections only. The machine's reference curves are left out, because they forward
/// nothing; the peer's are shown.
fn projection(report: &Report) -> Projection<'_> {
    let rows = report.rows.iter().filter_map(|row| {
        let point = row.point.as_ref()?;
        let timed = row.group == "program" && row.unit == Unit::NanosecondsPerPacket;
        let known = timed && !point.curve.starts_with(program::OPENING);
        let curve = match row.is_reference() {
            true if point.curve == program::KATRAN => "katran, projected to this machine",
            true => return None,
            false => point.curve.as_str(),
        };
        known.then_some((curve, point.x as u32, row.median()))
    });
    let rows: Vec<_> = rows.collect();
    let mut flows: Vec<u32> = rows.iter().map(|(_, flows, _)| *flows).collect();
    flows.sort_unstable();
    flows.dedup();
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    for (curve, ..) in &rows {
        if lines.iter().all(|(known, _)| known != curve) {
            let at = |flows: &u32| {
                let mut rows = rows.iter();
                let row = rows.find(|(name, x, _)| (name, x) == (curve, flows));
                row.map_or_else(String::new, |(_, _, takes)| {
                    format!("{:.1} Mpps", rate(*takes))
                })
            };
            lines.push((curve, flows.iter().map(at).collect()));
        }
    }
    Projection {
        columns: flows.into_iter().map(flows_of).collect(),
        lines,
    }
}

/// The rate in million packets a second, of packets that take this many nanoseconds more than bare
/// ones.
fn rate(nanoseconds: f64) -> f64 {
    1e3 / (BARE + nanoseconds)
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Point, Target};

    fn report() -> Report {
        let mut known = Row::new(
            "program",
            "DR, 1 flow",
            Unit::NanosecondsPerPacket,
            vec![40.0],
        );
        known.point = Some(Point {
            curve: "DR".into(),
            x: 1.0,
        });
        known.target = Some(Target::at_most(0.5, 0.3, "≤ 0.30 of katran's 80 ns"));
        let apply = Row::new("control", "apply", Unit::Milliseconds, vec![1.0, 2.0]);
        Report {
            rows: vec![known, apply],
            ..Report::default()
        }
    }

    #[test]
    fn the_document_tells_every_row() {
        let Document { text, plots } = Document::of(&report()).unwrap();
        assert!(
            text.contains("| DR, 1 flow | 40.0 |  | ns/packet |"),
            "{text}"
        );
        let row = "| apply | 1.50 | 1.10 – 1.90 | ms |";
        assert!(text.contains(row), "{text}");
        assert_eq!(plots.len(), 1);
        assert!(text.contains(&format!("({})", plots[0].path())), "{text}");
    }

    #[test]
    fn what_a_reader_compares_comes_first_and_our_own_targets_do_not_come() {
        let mut report = report();
        for (case, instructions) in [
            ("IPVS DR, net of the sender", 9_000.0),
            ("lb DR, net of the sender", 600.0),
        ] {
            let unit = Unit::InstructionsPerPacket;
            report
                .rows
                .push(Row::new("guest", case, unit, vec![instructions]));
        }
        let text = Document::of(&report).unwrap().text;
        let place = |words: &str| {
            text.find(words)
                .unwrap_or_else(|| panic!("{words}: {text}"))
        };
        let compared = place("| DR | 9,000 | 600.0 | 15.0 × |");
        assert!(compared < place("## Run it yourself"), "{text}");
        assert!(compared < place("| DR, 1 flow | 40.0 |"), "{text}");
        for word in ["targets", "missed"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn the_projection_adds_what_hardware_takes() {
        let text = Document::of(&report()).unwrap().text;
        assert!(text.contains("| DR | 10.0 Mpps |"), "{text}");
    }

    #[test]
    fn a_report_without_rows_is_a_document_all_the_same() {
        let text = Document::of(&Report::default()).unwrap().text;
        assert!(text.starts_with("# Performance"), "{text}");
        assert!(!text.contains("projection"), "{text}");
    }
}
