//! What the user of this crate is told about changes of the network.

use std::sync::Arc;

use super::Shared;

/// What has changed since the last one that was returned. A neighbour whose state changes but
/// whose MAC address stays the same (known or unknown) has not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Interfaces appeared, disappeared, or have another name, MAC address, MTU or state.
    pub interfaces: bool,
    /// This machine's addresses.
    pub addresses: bool,
    /// Routes or rules. Reported a second time 200 ms after every change except those of
    /// neighbours, because the kernel announces some changes before it makes them.
    pub routes: bool,
    /// MAC addresses of neighbours.
    pub neighbours: bool,
    /// At least one answer that [`Routing`](super::Routing) gave may be wrong now: ask again.
    /// When false, the change matters only to those who look up routes themselves.
    pub answers: bool,
}

impl Changed {
    /// After messages of the kernel were lost, anything may have changed.
    pub(super) const EVERYTHING: Self = Self {
        interfaces: true,
        addresses: true,
        routes: true,
        neighbours: true,
        answers: true,
    };
}

/// Reports changes until the [`Routing`](super::Routing) that it was made with is dropped.
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
}

impl Changes {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
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
