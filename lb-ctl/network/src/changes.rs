//! What the consumer is told of changes.

use std::sync::Arc;

use super::Shared;

/// What has changed since the last one. All that a neighbour goes through without its MAC
/// address becoming another, known or unknown, is no change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Interfaces came, went, or have another name, MAC address, MTU or state.
    pub links: bool,
    /// This machine's addresses.
    pub addresses: bool,
    /// Routes or rules. Told again a moment after any change but of neighbours, for the
    /// kernel announces some changes before it makes them.
    pub routes: bool,
    /// MAC addresses of neighbours.
    pub neighbours: bool,
    /// It concerns an address that [`Routing`](super::Routing) was asked about: ask again.
    /// Without it, the change only concerns whoever looks up routes in other ways.
    pub answers: bool,
}

impl Change {
    /// After messages of the kernel were lost.
    pub(super) const EVERYTHING: Self = Self {
        links: true,
        addresses: true,
        routes: true,
        neighbours: true,
        answers: true,
    };
}

/// Tells of changes for as long as the [`Routing`](super::Routing) it was made with lives.
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
}

impl Changes {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits for a change, and returns all that has changed since the last one. Nothing is
    /// lost when the wait is given up. Where routes change all the time (BGP), so does this:
    /// to do something costly about it, wait a little for more.
    pub async fn next(&mut self) -> Change {
        loop {
            let news = self.shared.news.notified();
            if let Some(change) = self.shared.tables().take_change() {
                return change;
            }
            news.await;
        }
    }
}
