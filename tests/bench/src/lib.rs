//! The benchmark: measures what the director costs, so that anyone can repeat it.
//!
//! Each group of measurements is one file, and adds rows to one [`Report`].

pub mod compare;
mod comparison;
pub mod connections;
pub mod control;
pub mod daemon;
pub mod document;
pub mod feed;
pub mod figures;
pub mod groups;
pub mod guest;
pub mod nginx;
pub mod observer;
mod origin;
pub mod path;
pub mod peer;
pub mod plot;
pub mod processors;
pub mod program;
pub mod report;

pub use self::{
    groups::{GROUPS, Group, Length},
    observer::Observer,
    report::{Report, Row, Unit},
};
