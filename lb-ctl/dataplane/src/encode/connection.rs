//! An entry of the connection table: its ends and its state.

use std::net::SocketAddr;

use lb_common::{
    layout::key::Key,
    state::{UDP, tcp::TcpState},
};
use lb_model::{Protocol, State};

use super::{number::protocol, wire::at};

/// Protocol, client and service address of a connection; `None` if its protocol is none of ours.
pub fn ends(key: &Key) -> Option<(Protocol, SocketAddr, SocketAddr)> {
    Some((
        protocol(key.protocol())?,
        at(key.source(), key.source_port()),
        at(key.destination(), key.destination_port()),
    ))
}

/// The state of this number; `None` if it is not a connection's.
pub fn state(number: u8) -> Option<State> {
    const ALL: [(u8, State); 11] = [
        (TcpState::Established as u8, State::Established),
        (TcpState::SynSent as u8, State::SynSent),
        (TcpState::SynRecv as u8, State::SynRecv),
        (TcpState::FinWait as u8, State::FinWait),
        (TcpState::TimeWait as u8, State::TimeWait),
        (TcpState::Close as u8, State::Close),
        (TcpState::CloseWait as u8, State::CloseWait),
        (TcpState::LastAck as u8, State::LastAck),
        (TcpState::Listen as u8, State::Listen),
        (TcpState::SynAck as u8, State::SynAck),
        (UDP, State::Udp),
    ];
    ALL.into_iter()
        .find_map(|(known, state)| (known == number).then_some(state))
}

#[cfg(test)]
mod tests {
    use lb_common::state::timeouts::DEFAULT_TIMEOUTS;

    use super::*;

    #[test]
    fn states_have_ipvs_names() {
        let states = [TcpState::Established as u8, TcpState::SynAck as u8, UDP].map(state);
        let wanted = [State::Established, State::SynAck, State::Udp];
        assert_eq!(states, wanted.map(Some));
    }

    #[test]
    fn every_state_of_a_connection_has_a_name() {
        for number in 0..=u8::MAX {
            let timeout = DEFAULT_TIMEOUTS.get(usize::from(number));
            let stored = timeout.is_some_and(|&seconds| seconds != 0);
            assert_eq!(state(number).is_some(), stored, "{number:#x}");
        }
    }
}
