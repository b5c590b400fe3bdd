//! `performance.md`: the report, told.
use anyhow::Result;

use super::{plot::Plot, report::Report};

/// The text, and the plots that it shows.
pub struct Document {
    /// Markdown.
    pub text: String,
    /// In the order in which they are shown.
    pub plots: Vec<Plot>,
}

impl Document {
    /// Of a report.
    pub fn of(report: &Report) -> Result<Self> {
        let _ = report;
        Ok(Self {
            text: String::new(),
            plots: Vec::new(),
        })
    }
}
