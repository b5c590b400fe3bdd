//! Follows a measurement while it runs.

use crate::report::Row;

/// Is told what is measured, and decides what need not be.
pub trait Observer {
    /// Whether the user wants this row. A group may measure it anyway.
    fn wants(&self, case: &str) -> bool;
    /// The measurement of a row begins, or a preparation for rows.
    fn begins(&self, what: &str);
    /// A row is complete.
    fn done(&self, row: Row);
}
