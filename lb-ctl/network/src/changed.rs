//! What has changed in the network.

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
    /// At least one answer that `Routing` gave may be wrong now: ask again.
    /// When false, the change matters only to those who look up routes themselves.
    pub answers: bool,
}

impl Changed {
    /// After messages of the kernel were lost, anything may have changed.
    pub(crate) const EVERYTHING: Self = Self {
        interfaces: true,
        addresses: true,
        routes: true,
        neighbours: true,
        answers: true,
    };
}
