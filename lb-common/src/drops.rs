//! Why a packet was dropped: each reason is a row of the map `drops`.

/// A reason to drop a packet that belongs to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Drop {
    /// The service has no server that may take a new connection.
    NoServer = 0,
    /// The connection's server was removed (IPVS with `expire_nodest_conn=0`).
    ServerGone = 1,
    /// The server's next hop has not answered ARP yet, or there is no route to it.
    NextHopUnknown = 2,
    /// The time to live ran out here.
    TtlExpired = 3,
    /// Larger than the way to the server lets through.
    TooBig = 4,
    /// Every place where the connection could be stored holds an established one.
    TableFull = 5,
    /// The first fragment of a packet to a service.
    Fragment = 6,
    /// A reply whose client cannot be reached by any interface of the director.
    NoRoute = 7,
    /// No room in front of the packet for the outer header.
    NoHeadroom = 8,
    /// The maps contradict each other: a fault of ours.
    Inconsistent = 9,
}

impl Drop {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::NoServer,
        Self::ServerGone,
        Self::NextHopUnknown,
        Self::TtlExpired,
        Self::TooBig,
        Self::TableFull,
        Self::Fragment,
        Self::NoRoute,
        Self::NoHeadroom,
        Self::Inconsistent,
    ];

    /// The reason of a number; [`Drop::Inconsistent`] where it is none's.
    #[inline(always)]
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        Self::ALL
            .into_iter()
            .find(|&reason| reason as u32 == number)
            .unwrap_or(Self::Inconsistent)
    }

    /// The reason's name in listings and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::ServerGone => "server_gone",
            Self::NextHopUnknown => "next_hop_unknown",
            Self::TtlExpired => "ttl_expired",
            Self::TooBig => "too_big",
            Self::TableFull => "table_full",
            Self::Fragment => "fragment",
            Self::NoRoute => "no_route",
            Self::NoHeadroom => "no_headroom",
            Self::Inconsistent => "inconsistent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_in_the_order_of_their_numbers() {
        for (number, reason) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(Drop::of_number(reason as u32), reason);
        }
    }
}
