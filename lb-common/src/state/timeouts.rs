//! How long a connection may stay in a state without a packet.

use super::{
    kind::{STATES, UDP},
    tcp::TcpState,
    time::{TICK_SHIFT, ticks},
};

/// A timeout for each value of the state byte, in [ticks](super::time).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Timeouts(pub [u32; STATES]);

/// Timeouts in seconds, by state byte.
pub type Seconds = [u32; STATES];

/// IPVS's timeouts; 0 for all that is not a connection's state.
pub const DEFAULT_TIMEOUTS: Seconds = {
    let mut seconds = [0; STATES];
    seconds[TcpState::Established as usize] = 900;
    seconds[TcpState::SynSent as usize] = 120;
    seconds[TcpState::SynRecv as usize] = 60;
    seconds[TcpState::FinWait as usize] = 120;
    seconds[TcpState::TimeWait as usize] = 120;
    seconds[TcpState::Close as usize] = 10;
    seconds[TcpState::CloseWait as usize] = 60;
    seconds[TcpState::LastAck as usize] = 30;
    seconds[TcpState::Listen as usize] = 120;
    seconds[TcpState::SynAck as usize] = 120;
    seconds[UDP as usize] = 300;
    seconds
};

impl Timeouts {
    /// Timeouts in seconds, on a kernel that counts `hz` jiffies a second.
    #[must_use]
    pub fn of(seconds: &Seconds, hz: u32) -> Self {
        Self(seconds.map(|seconds| ticks(seconds, hz)))
    }

    /// The timeout of a state byte, in ticks; 0 for a byte that is none.
    #[must_use]
    pub fn ticks(&self, state: u8) -> u32 {
        let timeout = self.0.get(usize::from(state));
        timeout.copied().unwrap_or_default()
    }

    /// The same in whole seconds.
    #[must_use]
    pub fn seconds(&self, state: u8, hz: u32) -> u32 {
        ((u64::from(self.ticks(state)) << TICK_SHIFT) / u64::from(hz.max(1))) as u32
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self([0; STATES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_timeout() {
        let timeouts = Timeouts::of(&DEFAULT_TIMEOUTS, 1000);
        assert_eq!(timeouts.ticks(UDP), 75_000);
        assert_eq!(timeouts.seconds(TcpState::Close as u8, 1000), 10);
        assert_eq!(timeouts.ticks(0xFF), 0);
    }

    #[test]
    fn seconds_are_read_as_they_were_written() {
        for hz in [24, 100, 250, 300, 1000, 1024] {
            for seconds in [0, 1, 2, 59, 900, 86_400, 2_678_400] {
                let timeouts = Timeouts::of(&[seconds; STATES], hz);
                assert_eq!(timeouts.seconds(UDP, hz), seconds, "{hz} Hz");
            }
        }
    }
}
