//! Errors that come again and again are logged once.

use std::collections::HashMap;

use anyhow::Result;

/// The last error of each thing that is tried again and again, by what the error is about.
#[derive(Default)]
pub struct Complaints(HashMap<String, String>);

impl Complaints {
    /// Logs an error, once for as long as it stays the same.
    pub fn note(&mut self, about: &str, outcome: Result<()>) {
        let Err(error) = outcome else {
            if self.0.remove(about).is_some() {
                tracing::info!("{about}: it works again");
            }
            return;
        };
        let complaint = format!("{error:#}");
        if self.0.get(about) != Some(&complaint) {
            tracing::error!("{about}: {complaint}; trying again every second");
            self.0.insert(about.to_owned(), complaint);
        }
    }
}
