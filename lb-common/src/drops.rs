//! Why a packet was dropped: each reason is a row of the map `drops`.

use crate::numbered::numbered;

numbered! {
    /// A reason to drop a packet that belongs to a service.
    pub enum Drop: u32 {
        /// The service has no server that takes new connections.
        NoServer = 0,
        /// The connection's server was removed (IPVS with `expire_nodest_conn=0`).
        ServerGone = 1,
        /// The server's next hop has not answered ARP yet, or there is no route to it.
        NextHopUnknown = 2,
        /// The packet's time to live would become 0.
        TtlExpired = 3,
        /// Larger than the path to the server allows.
        TooBig = 4,
        /// Every slot where the connection could be stored holds an established one.
        TableFull = 5,
        /// The first fragment of a packet to a service.
        Fragment = 6,
        /// A reply to a client that no interface of the director leads to, or that the director's
        /// routes forbid to send to.
        NoRoute = 7,
        /// No room in front of the packet for the outer header.
        NoHeadroom = 8,
        /// The maps contradict each other: a bug.
        Inconsistent = 9,
        /// The service has a scheduler that this version of the program does not have.
        UnknownScheduler = 10,
        /// Larger than the interface that received it can receive: the machine has merged several
        /// packets into one (GRO), or a sender on the same machine has not split it (TSO).
        Merged = 11,
        /// A new connection through NAT whose replies could not be told from those of another
        /// connection, which lives: another service has the same server, address and port, and the
        /// client uses one port for both.
        SameReplies = 12,
        /// The program has sent it, and the kernel or the driver lost it. Counted by the kernel's
        /// tracepoints.
        NotSent = 13,
    }
}

impl Drop {
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
            Self::UnknownScheduler => "unknown_scheduler",
            Self::Merged => "merged",
            Self::SameReplies => "same_replies",
            Self::NotSent => "not_sent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_row_of_its_number() {
        for (row, &reason) in Drop::ALL.iter().enumerate() {
            assert_eq!(reason as usize, row);
            assert_eq!(Drop::of_number(row as u32), Some(reason));
        }
    }

    #[test]
    fn the_readme_explains_every_reason() {
        let readme = include_str!("../../README.md");
        for reason in Drop::ALL {
            let row = std::format!("| `{}` |", reason.name());
            assert!(readme.contains(&row), "{row}");
        }
    }
}
