//! What [`Routing`](crate::Routing), [`Changes`](crate::Changes) and the task that follows the
//! kernel share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{
    interfaces::Interface,
    neighbours::{Neighbour, NextHop},
    tables::Tables,
};

#[derive(Debug)]
pub(crate) struct Shared {
    tables: Mutex<Tables>,
    /// Wakes [`Changes`](crate::Changes).
    pub news: Notify,
}

impl Shared {
    pub(crate) fn new(interfaces: Vec<Interface>, neighbours: Vec<(NextHop, Neighbour)>) -> Self {
        Self {
            tables: Mutex::new(Tables::new(interfaces, neighbours)),
            news: Notify::new(),
        }
    }

    /// Must not be held across an `await`.
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
