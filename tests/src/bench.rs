//! The benchmark: what the director costs, in figures that anyone can rerun.
//!
//! Each group of measurements is one file, and fills in rows of one [`Report`].

pub mod control;
pub mod daemon;
pub mod feed;
pub mod peer;
pub mod program;
pub mod report;

pub use self::report::{Report, Row, Unit};
