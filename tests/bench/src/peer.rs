//! Peers, as figures: what katran's program would take on this machine.
//!
//! Its figures were taken on a 2.3 GHz Xeon with Linux 6.18, by the method that `program`
//! uses. So was a lookup of a 40-byte key in a table of 4 million, the heart of katran's
//! work. That lookup is measured here too, with as many flows: katran is taken to run that
//! much faster or slower here as the lookup does.

use super::report::{Row, Target, Unit};

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

/// What katran takes where a lookup with as many flows takes this long; in nanoseconds, where
/// that can be told.
#[must_use]
pub fn katran(measure: Measure, flows: u32, lookup: f64) -> Option<f64> {
    let (_, lookup_there, tcp) = THERE.iter().find(|(known, ..)| *known == flows)?;
    let there = match measure {
        Measure::Tcp => *tcp,
        Measure::Udp if flows <= 1_000 => UDP_THERE,
        Measure::Udp => *tcp,
        Measure::Pass => PASS_THERE,
        Measure::Syn => SYN_THERE,
    };
    Some(there * lookup / lookup_there)
}

/// Our time is to be at most this share of katran's. Pairs of our time and the lookup's, each
/// taken at about the same moment: a machine that is now slower, now faster, is so for both.
#[must_use]
pub fn target(
    measure: Measure,
    flows: u32,
    pairs: impl Iterator<Item = (f64, f64)>,
    share: f64,
) -> Option<Target> {
    let both = pairs.map(|(ours, lookup)| {
        let katran = katran(measure, flows, lookup)?;
        Some((ours / katran, katran))
    });
    let both: Vec<(f64, f64)> = both.collect::<Option<_>>()?;
    let katran = median(both.iter().map(|(_, katran)| *katran));
    let ratio = median(both.iter().map(|(ratio, _)| *ratio));
    let text = format!("≤ {share:.2} of katran's {katran:.0} ns");
    Some(Target::at_most(ratio, share, text))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    Row::new("", "", Unit::Ratio, values.collect()).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_faster_lookups_has_a_faster_katran() {
        assert_eq!(katran(Measure::Tcp, 1, 11.5), Some(40.0));
        assert_eq!(katran(Measure::Udp, 1, 11.5), Some(54.0));
        assert_eq!(katran(Measure::Tcp, 7, 11.5), None);
    }

    #[test]
    fn moments_are_compared_with_themselves() {
        // The machine was four times slower when the second pair was taken.
        let pairs = [(10.0, 11.5), (40.0, 46.0), (10.0, 11.5)];
        let target = target(Measure::Tcp, 1, pairs.into_iter(), 0.30).expect("a target");
        assert!(target.met() && target.value == 0.25);
    }
}
