//! Two reports side by side: what got better, what got worse, and what is only noise.

use super::report::{Report, Row};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By more than noise.
    Better,
    /// Or too little to tell.
    Same,
    /// By more than noise.
    Worse,
}

/// A row that both reports have.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// In the older report.
    pub old: &'a Row,
    /// In the newer one.
    pub new: &'a Row,
    /// What one cannot tell from chance, in the row's unit.
    pub noise: f64,
    /// What to make of it.
    pub verdict: Verdict,
}

/// Two reports, row by row.
#[derive(Clone, Debug, Default)]
pub struct Comparison<'a> {
    /// Rows that both have, in the newer one's order.
    pub changes: Vec<Change<'a>>,
    /// Rows that only the older one has.
    pub gone: Vec<&'a Row>,
    /// Rows that only the newer one has.
    pub added: Vec<&'a Row>,
}

impl<'a> Comparison<'a> {
    /// Of two reports. Changes of up to `threshold` percent count as noise, beyond what the
    /// values themselves spread.
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

    /// Rows that got worse, of those that are the director's and not the machine's.
    pub fn worse(&self) -> impl Iterator<Item = &Change<'a>> {
        let changes = self.changes.iter();
        changes.filter(|change| change.verdict == Verdict::Worse && !change.new.is_reference())
    }

    /// Rows that say that the machine itself is slower or faster than it was.
    pub fn machine(&self) -> impl Iterator<Item = &Change<'a>> {
        let changes = self.changes.iter();
        changes.filter(|change| change.verdict != Verdict::Same && change.new.is_reference())
    }
}

impl<'a> Change<'a> {
    fn of(old: &'a Row, new: &'a Row, threshold: f64) -> Self {
        let (before, after) = (old.median(), new.median());
        // The whole spreads, not halves of them: values of one run lie closer together than
        // those of two, for what disturbs a run often lasts as long as it.
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

    /// How much larger the figure is than it was, in percent.
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
        // Nine tenths less one tenth of the loud ones: 16.
        let (quiet, loud) = ([50.0, 50.0, 50.0], [40.0, 50.0, 60.0]);
        assert_eq!(verdict(unit, &quiet, &[65.0]), Verdict::Worse);
        assert_eq!(verdict(unit, &loud, &[65.0]), Verdict::Same);
        assert_eq!(verdict(unit, &[65.0], &loud), Verdict::Same);
        // Both reports' spreads count.
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
        // In another unit it is another figure.
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
