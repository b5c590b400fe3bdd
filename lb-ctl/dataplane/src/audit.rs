//! Noticing what somebody changed behind the daemon's back, and undoing it.
//!
//! The daemon compares a tenth of all maps at a time with its own copies of what it wrote, so
//! that nobody waits for it. What packets change (connections, counts, schedulers' positions) is
//! not compared.

use lb_model::spelling::count;
use std::ops::Range;

/// A tenth of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part(u32);

impl Part {
    /// How many there are.
    pub const ALL: u32 = 10;

    /// The one after this.
    pub fn next(self) -> Self {
        Self((self.0 + 1) % Self::ALL)
    }

    /// True for the first one.
    pub fn is_first(self) -> bool {
        self.0 == 0
    }

    /// Of so many entries, those that belong to this part.
    pub fn of(self, entries: u32) -> Range<u32> {
        let border = |part| (u64::from(entries) * u64::from(part) / u64::from(Self::ALL)) as u32;
        border(self.0)..border(self.0 + 1)
    }
}

/// How many repairs are logged one by one.
const TOLD: usize = 10;

/// Logs what was repaired.
pub fn tell(repaired: &[String]) {
    for what in repaired.iter().take(TOLD) {
        tracing::warn!("changed by another program: {what}; repaired");
    }
    if repaired.len() > TOLD {
        let others = repaired.len() - TOLD;
        let others = count(others, "more change");
        tracing::warn!("and {others} by another program: repaired");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        for entries in [0, 1, 9, 10, 65_536, u32::MAX] {
            let (mut part, mut end) = (Part::default(), 0);
            for _ in 0..Part::ALL {
                let range = part.of(entries);
                assert_eq!(range.start, end);
                (part, end) = (part.next(), range.end);
            }
            assert_eq!((part, end), (Part::default(), entries));
        }
    }
}
