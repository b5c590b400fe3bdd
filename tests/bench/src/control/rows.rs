//! The rows of this group.

use std::time::Duration;

use crate::report::{Row, Unit};

/// The group's name in rows.
pub const GROUP: &str = "control";

/// A row of times.
pub fn milliseconds(case: impl Into<String>, values: &[Duration]) -> Row {
    let values = values.iter().map(|value| value.as_secs_f64() * 1e3);
    Row::new(GROUP, case, Unit::Milliseconds, values.collect())
}
