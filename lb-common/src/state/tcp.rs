//! IPVS's TCP states and transitions (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, Linux 6.12).

use super::kind::{Kind, STATE};

/// Which way a packet of a connection travels, as IPVS tells the directions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client, when replies pass the director too (NAT).
    Input,
    /// From the server (NAT).
    Output,
    /// From the client, when replies bypass the director (DR, TUN, local).
    InputOnly,
}

/// A TCP state. Its number is the state byte: the lower four bits are IPVS's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TcpState {
    /// No segment seen yet. Never stored: a connection is opened by a SYN, which leaves it.
    None = 0x10,
    /// Data flows.
    Established = 0x11,
    /// The server opened.
    SynSent = 0x12,
    /// The client opened.
    SynRecv = 0x13,
    /// The server closed first (or the client, where replies bypass the director).
    FinWait = 0x14,
    /// Both closed.
    TimeWait = 0x15,
    /// Reset, or a segment that makes no sense.
    Close = 0x16,
    /// The client closed first.
    CloseWait = 0x17,
    /// Waiting for the last acknowledgement.
    LastAck = 0x18,
    /// Listening.
    Listen = 0x19,
    /// Secure mode's half-open state.
    SynAck = 0x1A,
}

const STATES: usize = 11;

/// The FIN bit of the TCP flags byte.
pub const FIN: u8 = 0x01;
/// The SYN bit of the TCP flags byte.
pub const SYN: u8 = 0x02;
/// The RST bit of the TCP flags byte.
pub const RST: u8 = 0x04;
/// The ACK bit of the TCP flags byte.
pub const ACK: u8 = 0x10;

use self::TcpState::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI,
    SynRecv as SR, SynSent as SS, TimeWait as TW,
};

/// The next state for each state, four bits each: a step reads no memory. 16 states fit, so
/// SCTP's 14 do.
type Row = u64;

//                     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
const INPUT_SYN: Row = packed([SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR]);
const INPUT_FIN: Row = packed([CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW]);
const INPUT_ACK: Row = packed([ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES]);
const INPUT_RST: Row = packed([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR]);
const OUTPUT_SYN: Row = packed([SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR]);
const OUTPUT_FIN: Row = packed([TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW]);
const OUTPUT_ACK: Row = packed([ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES]);
const OUTPUT_RST: Row = packed([CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL]);
const INPUT_ONLY_SYN: Row = packed([SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR]);
const INPUT_ONLY_FIN: Row = packed([CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW]);
const INPUT_ONLY_ACK: Row = packed([ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES]);
const INPUT_ONLY_RST: Row = packed([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL]);

const fn packed(next: [TcpState; STATES]) -> Row {
    let mut row = 0;
    let mut state = 0;
    while state < STATES {
        row |= ((next[state] as u8 & STATE) as u64) << (4 * state);
        state += 1;
    }
    row
}

/// The state that follows `state` when a segment with these TCP `flags` travels in `direction`.
///
/// RST outranks SYN, SYN outranks FIN, FIN outranks ACK; a segment with none of them closes.
/// `state` is a [`TcpState`] as a number; any other state gives [`TcpState::None`].
#[inline(always)]
#[must_use]
pub fn step(direction: Direction, flags: u8, state: u8) -> u8 {
    use Direction::{Input, InputOnly, Output};
    let rows = match direction {
        Input => [INPUT_RST, INPUT_SYN, INPUT_FIN, INPUT_ACK],
        Output => [OUTPUT_RST, OUTPUT_SYN, OUTPUT_FIN, OUTPUT_ACK],
        InputOnly => [
            INPUT_ONLY_RST,
            INPUT_ONLY_SYN,
            INPUT_ONLY_FIN,
            INPUT_ONLY_ACK,
        ],
    };
    let [rst, syn, fin, ack] = rows;
    let row = if flags & RST != 0 {
        rst
    } else if flags & SYN != 0 {
        syn
    } else if flags & FIN != 0 {
        fin
    } else if flags & ACK != 0 {
        ack
    } else {
        return CL as u8;
    };
    (row >> (4 * (state & STATE) as u32)) as u8 & STATE | Kind::Tcp as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn walk(segments: &[(Direction, u8)]) -> Vec<u8> {
        let mut state = TcpState::None as u8;
        segments
            .iter()
            .map(|&(direction, flags)| {
                state = step(direction, flags, state);
                state
            })
            .collect()
    }

    use Direction::{Input, InputOnly, Output};

    // The expected sequences are captures from Linux 6.1 and 6.12 with the real ip_vs.

    #[test]
    fn a_nat_connection_that_the_client_closes_passes_close_wait() {
        let seen = walk(&[
            (Input, SYN),
            (Output, SYN | ACK),
            (Input, ACK),
            (Input, FIN | ACK),
            (Output, ACK),
            (Output, FIN | ACK),
            (Input, ACK),
        ]);
        let expected = [SR, SR, ES, CW, CW, TW, TW].map(|s| s as u8);
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_nat_connection_that_the_server_closes_passes_fin_wait() {
        let seen = walk(&[
            (Input, SYN),
            (Output, SYN | ACK),
            (Input, ACK),
            (Output, FIN | ACK),
            (Input, ACK),
            (Input, FIN | ACK),
            (Output, ACK),
        ]);
        let expected = [SR, SR, ES, FW, FW, TW, TW].map(|s| s as u8);
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_refused_nat_connection_closes() {
        let seen = walk(&[(Input, SYN), (Output, RST | ACK)]);
        assert_eq!(seen, [SR as u8, CL as u8]);
    }

    #[test]
    fn a_dr_connection_that_the_client_closes_waits_in_fin_wait() {
        let seen = walk(&[
            (InputOnly, SYN),
            (InputOnly, ACK),
            (InputOnly, FIN | ACK),
            (InputOnly, ACK),
        ]);
        let expected = [SR, ES, FW, FW].map(|s| s as u8);
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_dr_connection_that_the_client_resets_closes() {
        let seen = walk(&[(InputOnly, SYN), (InputOnly, ACK), (InputOnly, RST)]);
        let expected = [SR, ES, CL].map(|s| s as u8);
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_reset_does_not_close_what_is_half_open() {
        assert_eq!(walk(&[(InputOnly, SYN), (InputOnly, RST)]), [SR as u8; 2]);
        assert_eq!(walk(&[(Input, SYN), (Input, RST)]), [SR as u8; 2]);
    }

    #[test]
    fn a_segment_without_any_flag_closes() {
        assert_eq!(step(Input, 0, ES as u8), CL as u8);
        assert_eq!(step(InputOnly, 0x08, SR as u8), CL as u8);
    }

    #[test]
    fn a_plain_acknowledgement_never_moves_an_established_connection() {
        // The packet path relies on it: it does not step at all in this case.
        for direction in [Input, Output, InputOnly] {
            assert_eq!(step(direction, ACK, ES as u8), ES as u8);
        }
    }

    #[test]
    fn every_step_from_every_state_gives_a_state() {
        for direction in [Input, Output, InputOnly] {
            for flags in 0..=255u8 {
                for state in TcpState::None as u8..=TcpState::SynAck as u8 {
                    let next = step(direction, flags, state);
                    assert!((TcpState::None as u8..=TcpState::SynAck as u8).contains(&next));
                }
            }
        }
    }
}
