//! A report: rows of figures, and their origin.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The result of a run of the benchmark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where it was measured, and which commit.
    pub origin: Origin,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
}

impl Report {
    /// Adds another report's rows. Fails if it is of another machine, kernel or commit: the figures
    /// of a report must be comparable.
    pub fn join(&mut self, other: Self) -> Result<()> {
        let place = |origin: &Origin| {
            let Origin {
                cpu,
                cpus,
                kernel,
                commit,
                ..
            } = origin;
            format!("commit {commit} on {cpus} × {cpu}, Linux {kernel}")
        };
        let [here, there] = [&self.origin, &other.origin].map(place);
        ensure!(here == there, "it is of {there}, not of {here}");
        for row in other.rows {
            self.rows.retain(|known| !known.is_same_as(&row));
            self.rows.push(row);
        }
        Ok(())
    }
}

/// The origin of figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The CPU's own name.
    pub cpu: String,
    /// CPUs online.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The commit that was measured, with `+` if files had been changed since.
    pub commit: String,
    /// UTC, `YYYY-MM-DD`.
    pub date: String,
}

/// One figure, measured several times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The group that measured it: `program`, `path`, …
    pub group: String,
    /// What was measured. Group and case together name the row.
    pub case: String,
    /// The unit of all values.
    pub unit: Unit,
    /// In the order in which they were measured.
    pub values: Vec<f64>,
    /// The target, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The row's point in a plot, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
}

/// A target for a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// In words: `≤ 0.30 of katran`.
    pub text: String,
    /// The figure that is compared with the limit.
    pub value: f64,
    /// The limit.
    pub limit: f64,
    /// Whether `value` must be at most the limit, or at least.
    pub at_most: bool,
}

/// A point on a curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The curve's name.
    pub curve: String,
    /// Its horizontal coordinate, such as the number of flows.
    pub x: f64,
}

/// Declares the units, each with its name for people and in JSON.
macro_rules! units {
    ($($(#[$comment:meta])* $unit:ident = $name:literal,)+) => {
        /// The unit of a figure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Unit {
            $($(#[$comment])* #[serde(rename = $name)] $unit,)+
        }

        impl Unit {
            /// Its name, as in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$unit => $name,)+
                }
            }
        }
    };
}

units! {
    /// Time.
    NanosecondsPerPacket = "ns/packet",
    /// Million packets a second.
    MegapacketsPerSecond = "Mpps",
    /// Instructions of the CPU.
    InstructionsPerPacket = "instructions/packet",
    /// Connections opened, used and closed in a second.
    ConnectionsPerSecond = "connections/s",
    /// A duration.
    Milliseconds = "ms",
    /// A duration.
    Microseconds = "µs",
    /// Memory.
    Bytes = "bytes",
    /// A share of one CPU, in percent.
    PercentOfCpu = "% of a CPU",
    /// CPU time for each gigabit that passed.
    CpuMillisecondsPerGigabit = "CPU ms/Gbit",
    /// Instructions of a BPF program, or of the verifier.
    Instructions = "instructions",
    /// One figure divided by another.
    Ratio = "ratio",
}

impl Unit {
    /// Whether a larger figure is better.
    #[must_use]
    pub const fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::MegapacketsPerSecond | Self::ConnectionsPerSecond
        )
    }
}

impl Target {
    /// A target: this value must be at most the limit.
    #[must_use]
    pub fn at_most(value: f64, limit: f64, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            value,
            limit,
            at_most: true,
        }
    }

    /// A target: this value must be at least the limit.
    #[must_use]
    pub fn at_least(value: f64, limit: f64, text: impl Into<String>) -> Self {
        Self {
            at_most: false,
            ..Self::at_most(value, limit, text)
        }
    }

    /// Whether it is met.
    #[must_use]
    pub fn met(&self) -> bool {
        if self.at_most {
            self.value <= self.limit
        } else {
            self.value >= self.limit
        }
    }
}

impl Row {
    /// A row without target and point.
    #[must_use]
    pub fn new(group: &str, case: impl Into<String>, unit: Unit, values: Vec<f64>) -> Self {
        Self {
            group: group.to_owned(),
            case: case.into(),
            unit,
            values,
            target: None,
            point: None,
        }
    }

    /// The median of the values.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value below which this share of the values is.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let place = share * last as f64;
        let at = |index: f64| values.get(index as usize).copied().unwrap_or(f64::NAN);
        let (below, above) = (at(place.floor()), at(place.ceil()));
        below + (above - below) * place.fract()
    }

    /// The spread of the values: from the 10th to the 90th percentile.
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.quantile(0.9) - self.quantile(0.1)
    }

    /// Whether both rows measure the same.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        (&self.group, &self.case, self.unit) == (&other.group, &other.case, other.unit)
    }

    /// Whether it measures the machine instead of the director.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        self.case.starts_with("reference: ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        let row = Row::new("g", "c", Unit::Ratio, vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!(row.median(), 2.5);
        assert_eq!(row.quantile(0.0), 1.0);
        assert_eq!(row.quantile(1.0), 4.0);
        assert_eq!(row.quantile(0.25), 1.75);
    }

    #[test]
    fn reports_of_one_origin_join_and_the_later_row_counts() {
        let report = |commit: &str, case, value| Report {
            origin: Origin {
                commit: commit.into(),
                ..Origin::default()
            },
            rows: vec![Row::new("g", case, Unit::Ratio, vec![value])],
        };
        let mut all = report("a", "one", 1.0);
        all.join(report("a", "two", 2.0)).unwrap();
        all.join(report("a", "one", 3.0)).unwrap();
        let medians: Vec<f64> = all.rows.iter().map(Row::median).collect();
        assert_eq!(medians, [2.0, 3.0]);
        let error = all.join(report("b", "one", 1.0)).unwrap_err();
        assert!(error.to_string().contains("commit b"), "{error}");
    }

    #[test]
    fn units_are_named_in_json_as_for_people() {
        for unit in [Unit::NanosecondsPerPacket, Unit::Microseconds, Unit::Ratio] {
            assert_eq!(serde_json::json!(unit), unit.name());
        }
    }
}
