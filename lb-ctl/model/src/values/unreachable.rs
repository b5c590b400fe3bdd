//! What becomes of servers that cannot be reached.

use super::named::words;
use crate::spelling::Named;

/// Whether servers get new connections while their next hop is unknown or does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// They do, as with IPVS, and packets to them may be lost.
    #[default]
    Keep,
    /// They do not, until they can be reached again.
    Skip,
}

impl Named for Unreachable {
    const KIND: &'static str = "way to treat servers that cannot be reached";
    const ALL: &'static [Self] = &[Self::Keep, Self::Skip];

    fn name(&self) -> &str {
        match self {
            Self::Keep => "keep",
            Self::Skip => "skip",
        }
    }
}

words!(Unreachable, "keep|skip", Unreachable::parse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn ways_come_back_as_they_were_written() {
        Unreachable::ALL.iter().copied().for_each(comes_back);
    }
}
