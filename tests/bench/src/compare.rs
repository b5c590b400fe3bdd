//! Compares two reports: what got better, what got worse, and what is only noise.

use super::report::{Report, Row};

/// How a row has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By more than the noise.
    Better,
    /// Less than the noise.
    Same,
    /// By more than the noise.
    Worse,
}

/// A row that both reports have.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The row in the older report.
    pub old: &'a Row,
    /// The row in the newer report.
    pub new: &'a Row,
    /// The noise: changes up to this size may be chance. In the row's unit.
    pub noise: f64,
    /// How it has changed.
    pub verdict: Verdict,
}

/// Two reports, row by row.
#[derive(Clone, Debug, Default)]
pub struct Comparison<'a> {
    /// Rows that both reports have, in the newer one's order.
    pub changes: Vec<Change<'a>>,
    /// Rows that only the older report has.
    pub gone: Vec<&'a Row>,
    /// Rows that only the newer report has.
    pub added: Vec<&'a Row>,
}

impl<'a> Comparison<'a> {
    /// Compares two reports. A change counts as noise if it is smaller than the spread of the
    /// values plus `threshold` percent.
    #[must_use]
    pub fn of(old: &'a Report, new: &'a Report, threshold: f64) -> Self {
        let mut comparison = Self::default();
        for row in &new.rows {
            match old.rows.iter().find(|old| old.is_same_as(row)) {
                Some(old) => comparison.changes.push(Change::of(old, row, threshold)),
                None => comparison.added.push(row),
            }
        }
        let gone = |old: &&Row| !new.rows.iter().any(|new| new.is_same_as(old));
        comparison.gone = old.rows.iter().filter(gone).collect();
        comparison
    }

    /// Rows that got worse. Only those that measure the director, not the machine.
    pub fn worse(&self) -> impl Iterator<Item = &Change<'a>> {
        let changes = self.changes.iter();
        changes.filter(|change| change.verdict == Verdict::Worse && !change.new.is_reference())
    }

    /// Rows that measure the machine itself and have changed.
    pub fn machine(&self) -> impl Iterator<Item = &Change<'a>> {
        let changes = self.changes.iter();
        changes.filter(|change| change.verdict != Verdict::Same && change.new.is_reference())
    }
}

impl<'a> Change<'a> {
    fn of(old: &'a Row, new: &'a Row, threshold: f64) -> Self {
        let (before, after) = (old.median(), new.median());
        // The full spreads, not half of them: values of one run lie closer together than values of
        // two runs, because a disturbance often lasts for a whole run.
        let noise = old.spread() + new.spread() + before.abs() * threshold / 100.0;
        let gain = match new.unit.more_is_better() {
            true => after - before,
            false => before - after,
        };
        let verdict = if gain > noise {
            Verdict::Better
        } else if gain < -noise {
            Verdict::Worse
        } else {
            Verdict::Same
        };
        Self {
            old,
            new,
            noise,
            verdict,
        }
    }

    /// By how many percent the figure has grown.
    #[must_use]
    pub fn percent(&self) -> f64 {
        100.0 * (self.new.median() / self.old.median() - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unit;

    fn row(case: &str, unit: Unit, values: &[f64]) -> Row {
        Row::new("program", case, unit, values.to_vec())
    }

    fn verdict(unit: Unit, old: &[f64], new: &[f64]) -> Verdict {
        let (old, new) = (row("DR", unit, old), row("DR", unit, new));
        Change::of(&old, &new, 5.0).verdict
    }

    fn report(rows: Vec<Row>) -> Report {
        Report {
            rows,
            ..Report::default()
        }
    }

    #[test]
    fn less_time_is_better_and_more_is_worse() {
        let unit = Unit::NanosecondsPerPacket;
        assert_eq!(verdict(unit, &[50.0], &[40.0]), Verdict::Better);
        assert_eq!(verdict(unit, &[40.0], &[50.0]), Verdict::Worse);
    }

    #[test]
    fn more_packets_a_second_are_better() {
        let unit = Unit::MegapacketsPerSecond;
        assert_eq!(verdict(unit, &[4.0], &[5.0]), Verdict::Better);
        assert_eq!(verdict(unit, &[5.0], &[4.0]), Verdict::Worse);
    }

    #[test]
    fn a_change_below_the_threshold_is_noise() {
        let unit = Unit::NanosecondsPerPacket;
        assert_eq!(verdict(unit, &[40.0], &[41.9]), Verdict::Same);
        assert_eq!(verdict(unit, &[40.0], &[42.1]), Verdict::Worse);
    }

    #[test]
    fn a_change_that_the_values_spread_over_anyway_is_noise() {
        let unit = Unit::NanosecondsPerPacket;
        // The spread of the noisy values, from the 10th to the 90th percentile: 16.
        let (quiet, loud) = ([50.0, 50.0, 50.0], [40.0, 50.0, 60.0]);
        assert_eq!(verdict(unit, &quiet, &[65.0]), Verdict::Worse);
        assert_eq!(verdict(unit, &loud, &[65.0]), Verdict::Same);
        assert_eq!(verdict(unit, &[65.0], &loud), Verdict::Same);
        // The spreads of both reports count.
        assert_eq!(verdict(unit, &loud, &[70.0]), Verdict::Worse);
        assert_eq!(verdict(unit, &loud, &[60.0, 70.0, 80.0]), Verdict::Same);
    }

    #[test]
    fn a_row_without_values_is_not_judged() {
        let unit = Unit::NanosecondsPerPacket;
        assert_eq!(verdict(unit, &[], &[40.0]), Verdict::Same);
        assert_eq!(verdict(unit, &[40.0], &[]), Verdict::Same);
    }

    #[test]
    fn rows_of_one_side_are_listed_and_not_judged() {
        let unit = Unit::NanosecondsPerPacket;
        let old = report(vec![row("DR", unit, &[1.0]), row("gone", unit, &[1.0])]);
        // Figures in different units are not compared.
        let new = report(vec![
            row("added", unit, &[9.0]),
            row("DR", Unit::InstructionsPerPacket, &[9.0]),
        ]);
        let comparison = Comparison::of(&old, &new, 5.0);
        let cases = |rows: &[&Row]| rows.iter().map(|row| row.case.clone()).collect::<Vec<_>>();
        assert_eq!(cases(&comparison.gone), ["DR", "gone"]);
        assert_eq!(cases(&comparison.added), ["added", "DR"]);
        assert_eq!(comparison.worse().count(), 0);
    }

    #[test]
    fn a_slower_machine_is_not_the_directors_fault() {
        let unit = Unit::NanosecondsPerPacket;
        let report = |value| report(vec![row("reference: empty", unit, &[value])]);
        let (old, new) = (report(10.0), report(20.0));
        let comparison = Comparison::of(&old, &new, 5.0);
        assert_eq!(comparison.worse().count(), 0);
        assert_eq!(comparison.machine().count(), 1);
    }
}
