//! A packet path whose daemon does not run: which interfaces it is attached to.

use anyhow::Result;
use lb_api::Instance;

use crate::name_of;

/// What a packet path without a daemon is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphan {
    /// The interfaces whose packets it handles, for people.
    pub interfaces: Vec<String>,
    /// It belongs to another network namespace than this process: their names are not known here.
    pub elsewhere: bool,
}

impl Orphan {
    /// That of an instance; attached to nothing, if there is no packet path.
    pub fn of(instance: &Instance) -> Result<Self> {
        let elsewhere = lb_dataplane::is_elsewhere(instance.as_str());
        let mut indices = lb_dataplane::attached(instance.as_str())?;
        indices.sort_unstable();
        let name = |index| match elsewhere {
            true => format!("interface {index} of another network namespace"),
            false => name_of(index),
        };
        Ok(Self {
            interfaces: indices.into_iter().map(name).collect(),
            elsewhere,
        })
    }
}
