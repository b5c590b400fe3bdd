//! Estimates what katran's program would take on this machine.
//!
//! katran's figures were measured by the method of `program`, on a 2.3 GHz Xeon with Linux 6.18. So
//! was a lookup of a 40-byte key in a table of 4 million entries, which is most of katran's work.
//! This machine measures the same lookup with as many flows. The estimate: katran is faster or
//! slower here by the same factor as the lookup.

use super::report::{Row, Target, Unit};

/// A figure of katran to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A packet of a known TCP connection.
    Tcp,
    /// A datagram of a known flow.
    Udp,
    /// A packet that is for no service.
    Pass,
    /// A SYN that opens a connection without storing it.
    Syn,
}

/// For a number of flows: the time of the lookup on that machine, and katran's time with TCP, in
/// nanoseconds.
pub const THERE: [(u32, f64, f64); 4] = [
    (1, 23.0, 80.0),
    (1_000, 29.0, 86.0),
    (100_000, 203.0, 220.0),
    (1_000_000, 230.0, 268.0),
];
const UDP_THERE: f64 = 108.0;
const PASS_THERE: f64 = 25.0;
const SYN_THERE: f64 = 100.0;

/// katran's time on a machine where a lookup with as many flows takes this long, in nanoseconds.
/// None if it cannot be estimated.
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

/// A target: our time must be at most this share of katran's. Takes pairs of our time and the
/// lookup's, both measured at about the same moment, so that a change of the machine's speed
/// affects both.
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
        // The machine was four times slower during the second pair.
        let pairs = [(10.0, 11.5), (40.0, 46.0), (10.0, 11.5)];
        let target = target(Measure::Tcp, 1, pairs.into_iter(), 0.30).expect("a target");
        assert!(target.met() && target.value == 0.25);
    }
}
