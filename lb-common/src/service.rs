//! Virtual services, as the XDP program finds them.

use crate::schedule::Scheduler;

/// Key of the map `services`: an address and a port, or a firewall mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ServiceKey {
    /// The VIP, as on the wire; or the mark.
    pub address: u32,
    /// The port, as on the wire; 0 with a mark.
    pub port: u16,
    /// IP protocol number; 0 with a mark.
    pub protocol: u8,
    /// Which of the two it is.
    kind: u8,
}

impl ServiceKey {
    const ADDRESS: u8 = 0;
    const MARK: u8 = 1;

    /// Of an IPv4 address and a port, both as on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn of_address(address: u32, port: u16, protocol: u8) -> Self {
        Self {
            address,
            port,
            protocol,
            kind: Self::ADDRESS,
        }
    }

    /// Of a firewall mark, which stands for packets of any address, port and protocol.
    #[inline(always)]
    #[must_use]
    pub const fn of_mark(mark: u32) -> Self {
        Self {
            address: mark,
            port: 0,
            protocol: 0,
            kind: Self::MARK,
        }
    }

    /// The mark, if the key is that of one.
    #[must_use]
    pub const fn mark(&self) -> Option<u32> {
        match self.kind {
            Self::MARK => Some(self.address),
            _ => None,
        }
    }
}

/// Value of the map `services`. The daemon replaces it whole, so that no packet sees half a
/// change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// Index into the map `rosters` of the roster's header.
    pub roster: u32,
    /// Servers in the roster.
    pub servers: u32,
    /// Number of a [`Scheduler`]: see [`Service::scheduler`].
    pub scheduler: u8,
    /// The [`Method`](crate::server::Method) of servers that come without one: only the daemon
    /// reads it.
    pub forward: u8,
    /// Zero. Room for flags: one-packet, sh-fallback, sh-port, mh-fallback, mh-port.
    pub _flags: u16,
    /// Index of this service's row in the map `retired`.
    pub index: u32,
    /// Zero. Room for persistence (timeout, netmask) and FULLNAT (where the service's local
    /// addresses begin, and how many there are).
    pub _room: [u32; 4],
}

const _: () = assert!(size_of::<ServiceKey>() == 8 && size_of::<Service>() == 32);

impl Service {
    /// How it chooses a server; `None` if its scheduler is of a version that this one does not
    /// know.
    #[inline(always)]
    #[must_use]
    pub const fn scheduler(&self) -> Option<Scheduler> {
        Scheduler::of_number(self.scheduler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_mark_is_taken_for_an_address(mark in any::<u32>(), address in any::<u32>(), port in any::<u16>(), protocol in any::<u8>()) {
            let (by_mark, by_address) = (
                ServiceKey::of_mark(mark),
                ServiceKey::of_address(address, port, protocol),
            );
            prop_assert_ne!(by_mark, by_address);
            prop_assert_eq!((by_mark.mark(), by_address.mark()), (Some(mark), None));
        }
    }
}
