//! Measures ipvsadm with many services: restoring and listing them.

use std::{fs::File, process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use lb_tests::director::Director;

use super::{
    files::{Fleet, SERVERS_EACH},
    rows::milliseconds,
};
use crate::report::{Row, Target};

/// From a command's start to its end.
#[derive(Default)]
pub struct Times {
    restore: Vec<Duration>,
    list: Vec<Duration>,
    stats: Vec<Duration>,
}

impl Times {
    /// Restores a fleet and lists it.
    pub fn measure(&mut self, director: &Director, fleet: &Fleet) -> Result<()> {
        let rules = director.write("rules", &fleet.rules())?;
        director.timed(&["ipvsadm", "-C"])?;
        let input = Stdio::from(File::open(rules)?);
        let (took, _) = director.timed_with(input, &["ipvsadm", "-R"])?;
        self.restore.push(took);
        let (took, listing) = director.timed(&["ipvsadm", "-Ln"])?;
        let rows = listing.lines().count() - TITLE;
        ensure!(
            rows == lines(fleet),
            "the listing has {rows} rows, not {}",
            lines(fleet)
        );
        self.list.push(took);
        self.stats
            .push(director.timed(&["ipvsadm", "-Ln", "--stats"])?.0);
        Ok(())
    }

    /// The rows.
    pub fn report(&self, name: &str, fleet: &Fleet, done: &mut impl FnMut(Row)) {
        let large = fleet.services == 10_000;
        let lines = lines(fleet);
        let mut row = milliseconds(format!("ipvsadm -R, {lines} lines, {name}"), &self.restore);
        if large {
            row.target = Some(Target::at_most(row.median() / 1e3, 5.0, "≤ 5 s"));
        }
        done(row);
        for (command, values) in [
            ("ipvsadm -Ln", &self.list),
            ("ipvsadm -Ln --stats", &self.stats),
        ] {
            let mut row = milliseconds(format!("{command}, {name}"), values);
            if large {
                row.target = Some(Target::at_most(row.median() / 1e3, 1.0, "≤ 1 s"));
            }
            done(row);
        }
    }
}

/// Lines above the first service.
const TITLE: usize = 3;

/// A line for each service and each server.
fn lines(fleet: &Fleet) -> usize {
    (fleet.services * (1 + SERVERS_EACH)) as usize
}
