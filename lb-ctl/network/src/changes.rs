//! Tells the user of this crate about changes of the network.

use std::sync::Arc;

use crate::{changed::Changed, shared::Shared};

/// Reports changes until the [`Routing`](crate::Routing) that it was made with is dropped.
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
}

impl Changes {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits for a change and returns all changes since the last call. Dropping the future loses
    /// nothing. Where routes change all the time (BGP), this returns all the time: before costly
    /// work, wait a little so that several changes are handled at once.
    pub async fn next(&mut self) -> Changed {
        loop {
            let news = self.shared.news.notified();
            if let Some(changed) = self.shared.tables().take_changed() {
                return changed;
            }
            news.await;
        }
    }
}
