//! The word of a slot: all of an entry that changes while it is live.

use core::fmt;

use crate::state::{self, Kind, STATE};

/// The word of a slot, 64 bits that are replaced together by compare-and-swap.
///
/// Each use of a slot has a *generation*, which goes up when a CPU claims the slot. So a CPU that
/// read a word earlier never replaces the word of a later entry in the same slot: the words
/// differ even where state and stamp are the same.
///
/// One number and not four fields: the compiler would keep each field in a register of its own. BPF
/// has ten; what does not fit is stored on the stack and loaded again, for each packet.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Word(u64);

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
    #[inline(always)]
    const fn new(stamp: u32, state: u8, flags: u8, tail: u16) -> Self {
        Self(stamp as u64 | (state as u64) << 32 | (flags as u64) << 40 | (tail as u64) << 48)
    }

    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// When the last packet passed, in [ticks](crate::state::time). In a reverse entry: the last
    /// packet from the server that did not touch the connection's own entry. Bits 0 to 31.
    #[inline(always)]
    #[must_use]
    pub const fn stamp(self) -> u32 {
        self.0 as u32
    }

    /// The state byte, see [`state`]. Bits 32 to 39.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// `FLAG_*` in the lower four bits. Bits 40 to 47.
    #[inline(always)]
    #[must_use]
    pub const fn flags(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// In a reverse entry: the route epoch in which its next hop was looked up. In all others:
    /// the generation. Bits 48 to 63.
    #[inline(always)]
    #[must_use]
    pub const fn tail(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Which use of the slot this is. A reverse entry has room for the lower eight bits only.
    #[inline(always)]
    #[must_use]
    pub const fn generation(self) -> u16 {
        if state::is_reverse(self.state()) {
            (self.state() & STATE | self.flags() & GENERATION) as u16
        } else {
            self.tail()
        }
    }

    /// The word of an entry that packets find.
    #[inline(always)]
    #[must_use]
    pub const fn connection(stamp: u32, state: u8, flags: u8, generation: u16) -> Self {
        Self::new(stamp, state, flags, generation)
    }

    /// The word of a reverse entry.
    #[inline(always)]
    #[must_use]
    pub const fn reverse(stamp: u32, flags: u8, epoch: u16, generation: u16) -> Self {
        let generation = generation as u8;
        Self::new(
            stamp,
            Kind::Reverse as u8 | generation & !GENERATION,
            flags & !GENERATION | generation & GENERATION,
            epoch,
        )
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
        Self(self.0 & !(0xff << 32) | (state as u64) << 32)
    }

    /// The same with other flags.
    #[inline(always)]
    #[must_use]
    pub const fn with_flags(self, flags: u8) -> Self {
        Self(self.0 & !(0xff << 40) | (flags as u64) << 40)
    }

    /// The same with another stamp.
    #[inline(always)]
    #[must_use]
    pub const fn with_stamp(self, stamp: u32) -> Self {
        Self(self.0 & !0xffff_ffff | stamp as u64)
    }

    /// The same with other bits 48 to 63.
    #[inline(always)]
    #[must_use]
    pub const fn with_tail(self, tail: u16) -> Self {
        Self(self.0 & !(0xffff << 48) | (tail as u64) << 48)
    }

    /// True if the words differ in nothing but their stamps.
    #[inline(always)]
    #[must_use]
    pub const fn same_but_stamp(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("stamp", &self.stamp())
            .field("state", &self.state())
            .field("flags", &self.flags())
            .field("tail", &self.tail())
            .finish()
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
            let word = Word::connection(stamp, state, flags, tail);
            prop_assert_eq!(
                (word.stamp(), word.state(), word.flags(), word.tail()),
                (stamp, state, flags, tail)
            );
            prop_assert_eq!(Word::from_bits(word.bits()), word);
        }

        #[test]
        fn a_changed_part_leaves_the_others(bits in any::<u64>(), stamp in any::<u32>(), state in any::<u8>(), flags in any::<u8>(), tail in any::<u16>()) {
            let word = Word::from_bits(bits);
            let part = |word: Word| (word.stamp(), word.state(), word.flags(), word.tail());
            prop_assert_eq!(part(word.with_stamp(stamp)), (stamp, word.state(), word.flags(), word.tail()));
            prop_assert_eq!(part(word.with_state(state)), (word.stamp(), state, word.flags(), word.tail()));
            prop_assert_eq!(part(word.with_flags(flags)), (word.stamp(), word.state(), flags, word.tail()));
            prop_assert_eq!(part(word.with_tail(tail)), (word.stamp(), word.state(), word.flags(), tail));
        }

        #[test]
        fn a_reverse_entry_keeps_the_lower_half_of_its_generation(flags in 0..16u8, epoch in any::<u16>(), generation in any::<u16>()) {
            let word = Word::reverse(7, flags, epoch, generation);
            prop_assert!(state::is_live(word.state()) && state::is_reverse(word.state()));
            prop_assert_eq!(word.generation(), generation & 0xFF);
            prop_assert_eq!(word.flags() & 0xF, flags);
            prop_assert_eq!(word.tail(), epoch);
        }

        #[test]
        fn no_two_uses_of_a_slot_in_a_row_have_the_same_word(state in 0..STATES as u8, flags in any::<u8>(), tail in any::<u16>()) {
            let word = Word::connection(0, state, flags, tail);
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
