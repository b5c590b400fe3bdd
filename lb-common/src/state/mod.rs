//! Kinds and states of what the connection table holds, as one byte.
//!
//! The byte is the [`Kind`] (3 bits) and the state (4 bits): seven bits, so that a table indexed
//! by it has [`STATES`] entries. TCP uses ten states, UDP one. Two kinds are free, for SCTP (14
//! states) and for the templates of persistent services.

mod kind;
pub mod tcp;
pub mod time;
pub mod timeouts;

pub use self::kind::{
    CLAIMED, CONTESTING, ELECTED, FREE, KIND, Kind, STATE, STATES, UDP, is_connection, is_live,
    is_reverse,
};
use self::tcp::TcpState;

/// True for the states that IPVS counts as active; every other connection counts as inactive.
#[inline(always)]
#[must_use]
pub const fn is_active(state: u8) -> bool {
    const ACTIVE: u16 = number(TcpState::Established)
        | number(TcpState::SynSent)
        | number(TcpState::SynRecv)
        | number(TcpState::SynAck);
    const fn number(state: TcpState) -> u16 {
        1 << (state as u8 & STATE)
    }
    state & KIND == Kind::Tcp as u8 && ACTIVE >> (state & STATE) & 1 == 1
}

/// True for the states in which a connection's server may have data for its client: once it is
/// established, until both sides have closed it or one has reset it.
#[inline(always)]
#[must_use]
pub const fn gets_replies(state: u8) -> bool {
    state == UDP
        || state == TcpState::Established as u8
        || state == TcpState::FinWait as u8
        || state == TcpState::CloseWait as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Kinds that are still to come, and how many states each has.
    const SCTP: (u8, u8) = (0x30, 14);
    const TEMPLATE: (u8, u8) = (0x40, 1);

    fn bytes((kind, states): (u8, u8)) -> impl Iterator<Item = u8> {
        (0..states).map(move |state| kind | state)
    }

    #[test]
    fn active_states_are_those_that_ipvs_counts_as_active() {
        let active: Vec<u8> = (0..STATES as u8).filter(|&s| is_active(s)).collect();
        let ipvs = [
            TcpState::Established,
            TcpState::SynSent,
            TcpState::SynRecv,
            TcpState::SynAck,
        ];
        assert_eq!(active, ipvs.map(|state| state as u8));
    }

    #[test]
    fn packets_find_connections_and_reverse_entries_only() {
        for state in 0..STATES as u8 {
            let kind = state & KIND;
            let hidden =
                state == FREE || kind == Kind::Opening as u8 || kind == Kind::Claimed as u8;
            assert_eq!(is_live(state), !hidden, "{state:#x}");
        }
    }

    #[test]
    fn servers_count_connections_and_nothing_else() {
        assert!(is_connection(TcpState::Established as u8));
        assert!(is_connection(TcpState::SynAck as u8));
        assert!(is_connection(UDP));
        for state in [FREE, Kind::Reverse as u8, CONTESTING, ELECTED, CLAIMED] {
            assert!(!is_connection(state), "{state:#x}");
        }
    }

    #[test]
    fn there_is_room_for_the_states_of_sctp_and_for_templates() {
        for state in bytes(SCTP).chain(bytes(TEMPLATE)) {
            assert!(is_live(state) && !is_reverse(state), "{state:#x}");
            assert!(usize::from(state) < STATES);
        }
        assert!(bytes(SCTP).all(is_connection));
        assert!(!bytes(TEMPLATE).any(is_connection));
    }
}
