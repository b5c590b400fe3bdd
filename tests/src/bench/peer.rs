//! Peers, as figures: what katran's program would take on this machine.
//!
//! Its figures were taken on a 2.3 GHz Xeon with Linux 6.18, by the method that `program`
//! uses. So was a lookup of a 40-byte key in a table of 4 million, the heart of katran's
//! work. That lookup is measured here too, with as many flows: katran is taken to run that
//! much faster or slower here as the lookup does.

use super::report::Target;

/// What of katran to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A packet of a known TCP connection.
    Tcp,
    /// A datagram of a known flow.
    Udp,
    /// A packet to nobody.
    Pass,
    /// A SYN, with nothing stored.
    Syn,
}

/// With that many flows: the lookup there, and katran there, with TCP. Nanoseconds.
pub const THERE: [(u32, f64, f64); 4] = [
    (1, 23.0, 80.0),
    (1_000, 29.0, 86.0),
    (100_000, 203.0, 220.0),
    (1_000_000, 230.0, 268.0),
];
const UDP_THERE: f64 = 108.0;
const PASS_THERE: f64 = 25.0;
const SYN_THERE: f64 = 100.0;

/// Katran on this machine.
#[derive(Clone, Debug, Default)]
pub struct Katran {
    /// For numbers of flows: how many times longer than there the lookup takes.
    slower: Vec<(u32, f64)>,
}

impl Katran {
    /// The lookup takes that many nanoseconds here.
    pub fn calibrate(&mut self, flows: u32, lookup: f64) {
        for (there, nanoseconds, _) in THERE {
            if there == flows {
                self.slower.push((flows, lookup / nanoseconds));
            }
        }
    }

    /// What katran takes here, in nanoseconds, where that can be told.
    #[must_use]
    pub fn takes(&self, measure: Measure, flows: u32) -> Option<f64> {
        let (_, slower) = self.slower.iter().find(|(known, _)| *known == flows)?;
        let (_, _, tcp) = THERE.iter().find(|(known, ..)| *known == flows)?;
        let there = match measure {
            Measure::Tcp => *tcp,
            Measure::Udp if flows <= 1_000 => UDP_THERE,
            Measure::Udp => *tcp,
            Measure::Pass => PASS_THERE,
            Measure::Syn => SYN_THERE,
        };
        Some(there * slower)
    }

    /// Our time is to be at most this share of katran's.
    #[must_use]
    pub fn target(&self, measure: Measure, flows: u32, ours: f64, share: f64) -> Option<Target> {
        let katran = self.takes(measure, flows)?;
        let text = format!("≤ {share:.2} of katran's {katran:.0} ns");
        Some(Target::at_most(ours / katran, share, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_faster_lookups_has_a_faster_katran() {
        let mut katran = Katran::default();
        katran.calibrate(1, 11.5);
        assert_eq!(katran.takes(Measure::Tcp, 1), Some(40.0));
        assert_eq!(katran.takes(Measure::Udp, 1), Some(54.0));
        assert_eq!(katran.takes(Measure::Tcp, 1_000), None);
        let target = katran
            .target(Measure::Tcp, 1, 10.0, 0.30)
            .expect("a target");
        assert!(target.met() && target.value == 0.25);
    }
}
