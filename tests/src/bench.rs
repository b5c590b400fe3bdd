//! The benchmark: what the director costs, in figures that anyone can rerun.
//!
//! Each group of measurements is one file, and fills in rows of one [`Report`].

pub mod connections;
pub mod control;
pub mod daemon;
pub mod feed;
pub mod nginx;
pub mod peer;
pub mod processors;
pub mod program;
pub mod report;

pub use self::report::{Report, Row, Unit};
