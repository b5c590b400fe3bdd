//! The word of a slot: all of an entry that changes while it is live.

use crate::state::{self, Kind, STATE};

/// The word of a slot, 64 bits that are replaced together by compare-and-swap.
///
/// Each use of a slot has a *generation*, which goes up when a CPU claims the slot. So a CPU that
/// read a word earlier never replaces the word of a later entry in the same slot: the words
/// differ even where state and stamp are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// When the last packet passed, in [ticks](crate::state::time). In a reverse entry: the last
    /// packet from the server that did not touch the connection's own entry. Bits 0 to 31.
    pub stamp: u32,
    /// The state byte, see [`state`]. Bits 32 to 39.
    pub state: u8,
    /// `FLAG_*` in the lower four bits. Bits 40 to 47.
    pub flags: u8,
    /// In a reverse entry: the route epoch in which its next hop was looked up. In all others:
    /// the generation. Bits 48 to 63.
    pub tail: u16,
}

/// The connection has a reverse entry: its replies pass the director.
pub const FLAG_NAT: u8 = 1;
/// In a reverse entry: a reply without SYN, FIN or RST need not touch the connection's entry,
/// because the connection is established (or UDP's). It has expired when both stamps are too old.
pub const FLAG_SETTLED: u8 = 2;
/// The connection is part of the tally that is being made of its server's connections.
pub const FLAG_TALLIED: u8 = 4;

/// The bits of `flags` that hold the upper half of a reverse entry's generation.
const GENERATION: u8 = 0xF0;

impl Word {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.stamp as u64
            | (self.state as u64) << 32
            | (self.flags as u64) << 40
            | (self.tail as u64) << 48
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            stamp: bits as u32,
            state: (bits >> 32) as u8,
            flags: (bits >> 40) as u8,
            tail: (bits >> 48) as u16,
        }
    }

    /// Which use of the slot this is. A reverse entry has room for the lower eight bits only.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> u16 {
        if state::is_reverse(self.state) {
            (self.state & STATE | self.flags & GENERATION) as u16
        } else {
            self.tail
        }
    }

    /// The word of an entry that packets find.
    #[inline(always)]
    #[must_use]
    pub const fn connection(stamp: u32, state: u8, flags: u8, generation: u16) -> Self {
        Self {
            stamp,
            state,
            flags,
            tail: generation,
        }
    }

    /// The word of a reverse entry.
    #[inline(always)]
    #[must_use]
    pub const fn reverse(stamp: u32, flags: u8, epoch: u16, generation: u16) -> Self {
        let generation = generation as u8;
        Self {
            stamp,
            state: Kind::Reverse as u8 | generation & !GENERATION,
            flags: flags & !GENERATION | generation & GENERATION,
            tail: epoch,
        }
    }

    /// The next use of the slot begins: a CPU owns it.
    #[inline(always)]
    #[must_use]
    pub const fn claimed(self) -> Self {
        Self::connection(0, state::CLAIMED, 0, self.generation().wrapping_add(1))
    }

    /// The slot is empty; the generation stays.
    #[inline(always)]
    #[must_use]
    pub const fn freed(self) -> Self {
        Self::connection(0, state::FREE, 0, self.generation())
    }

    /// The same with another state.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: u8) -> Self {
        Self { state, ..self }
    }

    /// The same with other flags.
    #[inline(always)]
    #[must_use]
    pub const fn with_flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    /// True where the words differ in nothing but their stamps.
    #[inline(always)]
    #[must_use]
    pub const fn same_but_stamp(self, other: Self) -> bool {
        self.bits() >> 32 == other.bits() >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::STATES;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_survive_the_slot(stamp in any::<u32>(), state in 0..STATES as u8, flags in any::<u8>(), tail in any::<u16>()) {
            let word = Word { stamp, state, flags, tail };
            prop_assert_eq!(Word::from_bits(word.bits()), word);
        }

        #[test]
        fn a_reverse_entry_keeps_the_lower_half_of_its_generation(flags in 0..16u8, epoch in any::<u16>(), generation in any::<u16>()) {
            let word = Word::reverse(7, flags, epoch, generation);
            prop_assert!(state::is_live(word.state) && state::is_reverse(word.state));
            prop_assert_eq!(word.generation(), generation & 0xFF);
            prop_assert_eq!(word.flags & 0xF, flags);
            prop_assert_eq!(word.tail, epoch);
        }

        #[test]
        fn no_two_uses_of_a_slot_in_a_row_have_the_same_word(state in 0..STATES as u8, flags in any::<u8>(), tail in any::<u16>()) {
            let word = Word { stamp: 0, state, flags, tail };
            let next = word.claimed();
            prop_assert_ne!(next.generation(), word.generation());
            prop_assert_eq!(next.freed().generation(), next.generation());
            prop_assert_ne!(
                Word::reverse(0, flags, tail, next.generation()),
                Word::reverse(0, flags, tail, word.generation())
            );
        }
    }
}
