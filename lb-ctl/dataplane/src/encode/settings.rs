//! The timeouts in the map `settings`.

use lb_common::state::{
    UDP,
    tcp::TcpState,
    timeouts::{self, DEFAULT_TIMEOUTS},
};
use lb_model::Timeouts;

/// The timeouts of all states, in ticks; those that cannot be set are IPVS's.
pub fn timeouts_in_ticks(timeouts: &Timeouts, hz: u32) -> timeouts::Timeouts {
    let &Timeouts { tcp, tcpfin, udp } = timeouts;
    let mut seconds = DEFAULT_TIMEOUTS;
    for (state, timeout) in [
        (TcpState::Established as usize, tcp),
        (TcpState::FinWait as usize, tcpfin),
        (usize::from(UDP), udp),
    ] {
        seconds[state] = timeout.0;
    }
    timeouts::Timeouts::of(&seconds, hz)
}

#[cfg(test)]
mod tests {
    use lb_common::layout::Settings;
    use lb_model::{Seconds, rules};

    use super::*;

    #[test]
    fn timeouts_are_read_as_they_were_written() {
        for hz in [24, 100, 250, 300, 1000, 1024] {
            for seconds in [1, 2, 59, 900, 86_400, *rules::SECONDS.end()] {
                let wanted = Timeouts {
                    tcp: Seconds(seconds),
                    tcpfin: Seconds(seconds + 1),
                    udp: Seconds(seconds + 2),
                };
                let settings = Settings {
                    timeouts: timeouts_in_ticks(&wanted, hz),
                    hz,
                    ..Settings::default()
                };
                assert_eq!(timeouts_in_seconds(&settings), wanted, "{hz} Hz");
            }
        }
    }

    /// The timeouts that can be set.
    fn timeouts_in_seconds(settings: &Settings) -> Timeouts {
        let seconds = |state| Seconds(settings.timeouts.seconds(state, settings.hz));
        Timeouts {
            tcp: seconds(TcpState::Established as u8),
            tcpfin: seconds(TcpState::FinWait as u8),
            udp: seconds(UDP),
        }
    }
}
