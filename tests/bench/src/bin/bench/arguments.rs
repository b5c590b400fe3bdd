//! The command line: the arguments as typed, and as used.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Parser, builder::PossibleValuesParser, value_parser};
use lb_bench::{GROUPS, Group, Length, Report};

/// Measures what the director costs
///
/// Rows appear as they come: the median of several values, the 10th to 90th
/// percentile of them, and whether the target is met. Exits with 1 when something could not be measured,
/// or got worse than --compare's.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", version, after_long_help = groups_explained())]
pub struct Arguments {
    /// What to measure; see below
    #[arg(value_name = "GROUP", value_parser = group_names(), hide_possible_values = true)]
    groups: Vec<String>,
    /// Measure just long enough to see whether it works, and roughly how fast
    #[arg(long)]
    quick: bool,
    /// Values for each figure
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Rows whose case contains this. Targets that compare with katran are known only where
    /// "reference: lookup of 40 bytes" is measured too
    #[arg(long, value_name = "SUBSTRING")]
    only: Option<String>,
    /// Where to write report.json, performance.md and its plots [default: a new folder in
    /// bench/ in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write docs/performance.md, its plots and its report, too
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    docs: bool,
    /// Measure nothing: take the figures from this report. May be given several times, for
    /// reports of the same commit on the same machine
    #[arg(long, value_name = "REPORT.json", conflicts_with_all = ["quick", "samples"])]
    from: Vec<PathBuf>,
    /// Compare with an older report, row by row
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// What counts as no change, beyond what the values themselves spread over
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    threshold: f64,
}

/// What to do.
pub struct Asked {
    /// The groups to measure, in this order.
    pub groups: Vec<&'static Group>,
    /// How long to measure.
    pub length: Length,
    /// The directory for all files, if given.
    pub out: Option<PathBuf>,
    /// Whether to write the documentation, too.
    pub docs: bool,
    /// A report to use instead of measuring.
    pub from: Option<Report>,
    /// A report to compare with.
    pub compare: Option<Report>,
    /// The threshold of the comparison, in percent.
    pub threshold: f64,
    only: Option<String>,
    /// Whether all groups of a report are shown.
    all_groups: bool,
}

impl Arguments {
    /// Reads the given files, before minutes are spent on measuring.
    pub fn asked(self) -> Result<Asked> {
        let named = |group: &&Group| self.groups.iter().any(|name| name == group.name);
        let from = read_all(&self.from)?;
        let default = |group: &&Group| group.by_default;
        let unnamed = self.groups.is_empty();
        let groups = match unnamed {
            true => GROUPS.iter().filter(default).collect(),
            false => GROUPS.iter().filter(named).collect(),
        };
        Ok(Asked {
            groups,
            all_groups: unnamed && from.is_some(),
            length: Length {
                quick: self.quick,
                samples: self.samples,
            },
            out: self.out,
            docs: self.docs,
            from,
            compare: self.compare.as_deref().map(read).transpose()?,
            threshold: self.threshold,
            only: self.only,
        })
    }
}

impl Asked {
    /// Whether the user wants a row with this name.
    pub fn wants(&self, case: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|part| case.contains(part.as_str()))
    }

    /// The part of a report that the user wants.
    pub fn part_of(&self, report: &Report) -> Report {
        let mut part = report.clone();
        part.rows.retain(|row| {
            let group = || self.groups.iter().any(|group| group.name == row.group);
            (self.all_groups || group()) && self.wants(&row.case)
        });
        part
    }
}

/// Merges reports into one. None if there are none.
fn read_all(paths: &[PathBuf]) -> Result<Option<Report>> {
    let mut all: Option<Report> = None;
    for path in paths {
        let report = read(path)?;
        match &mut all {
            None => all = Some(report),
            Some(all) => all
                .join(report)
                .with_context(|| format!("cannot add {} to the other reports", path.display()))?,
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the report {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a report", path.display()))
}

fn group_names() -> PossibleValuesParser {
    GROUPS.iter().map(|group| group.name).into()
}

fn groups_explained() -> String {
    let mut text = String::from("Groups:\n");
    for group in GROUPS {
        let note = if group.by_default {
            ""
        } else {
            " (only when named)"
        };
        text += &format!("  {:<12} {}{note}\n", group.name, group.question);
    }
    text
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..f64::INFINITY).contains(&percent) => Ok(percent),
        _ => Err("a percentage is 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use lb_bench::{Row, Unit};

    use super::*;

    fn asked(arguments: &[&str]) -> Asked {
        let arguments = ["bench"].iter().chain(arguments);
        let arguments = Arguments::try_parse_from(arguments).expect("arguments");
        arguments.asked().expect("no files")
    }

    #[test]
    fn arguments_are_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn xtask_knows_the_arguments_and_refuses_others_before_it_builds() {
        use clap::CommandFactory;
        use xtask::arguments::{BENCH, Value};
        let command = Arguments::command();
        let mut taken: Vec<_> = command
            .get_opts()
            .filter_map(|option| Some((option.get_long()?, option.get_action().takes_values())))
            .collect();
        let known = BENCH.flags.iter();
        let mut known: Vec<_> = known
            .map(|flag| (flag.name.trim_start_matches('-'), flag.value != Value::None))
            .collect();
        taken.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, taken);
        let groups: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        assert_eq!(BENCH.words, groups);
    }

    #[test]
    fn a_report_is_cut_down_to_what_is_asked_for() {
        let row = |group, case| Row::new(group, case, Unit::Ratio, vec![1.0]);
        let report = Report {
            rows: vec![
                row("program", "DR, 1 flow"),
                row("program", "TUN, 1 flow"),
                row("elsewhere", "DR, 1 flow"),
            ],
            ..Report::default()
        };
        let part = asked(&["program", "--only", "DR"]).part_of(&report);
        assert_eq!(part.rows, report.rows[..1]);
    }

    #[test]
    fn a_report_that_is_none_is_named() {
        let arguments = ["bench", "--compare", "/dev/null"];
        let arguments = Arguments::try_parse_from(arguments).expect("arguments");
        let error = arguments.asked().err().expect("an error");
        assert_eq!(error.to_string(), "/dev/null is not a report");
    }

    #[test]
    fn thresholds_are_percentages() {
        assert_eq!(percent("2.5"), Ok(2.5));
        for wrong in ["-1", "NaN", "inf", "much"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
