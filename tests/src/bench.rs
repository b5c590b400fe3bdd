//! The benchmark: what the director costs, in figures that anyone can rerun.
//!
//! Each group of measurements is one file, and fills in rows of one [`Report`].

pub mod feed;
pub mod guest;
pub mod path;
pub mod peer;
pub mod program;
pub mod report;

pub use self::report::{Report, Row, Unit};
