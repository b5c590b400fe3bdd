//! Who follows a measurement while it runs.

use crate::report::Row;

/// Follows what is measured, and says what need not be.
pub trait Observer {
    /// Whether this row is asked for. A group may measure it all the same.
    fn wants(&self, case: &str) -> bool;
    /// This begins: a row, or what prepares for rows.
    fn begins(&self, what: &str);
    /// A row is there.
    fn done(&self, row: Row);
}
