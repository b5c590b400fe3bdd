//! Internet checksums, updated by difference (RFC 1624, equation 3).
//!
//! The checksum of a packet is never computed from scratch, and never byte-swapped: a one's
//! complement sum does not depend on the byte order, as long as all terms have the same.

/// The change of a checksum: a one's complement sum, not yet folded to 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u64);

impl Delta {
    /// No change.
    pub const ZERO: Self = Self(0);

    /// Replacing the 16-bit word `old` by `new`, both as on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Replacing the 32-bit word `old` by `new`, both as on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn long(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// The checksum field after the change, as on the wire.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(self.0 + (!checksum) as u64)
    }

    /// The same for UDP, where 0 says "no checksum": 0 stays 0, and a result of 0 becomes
    /// 0xFFFF (RFC 768).
    #[inline(always)]
    #[must_use]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xFFFF,
            sum => sum,
        }
    }
}

/// The checksum of a header: its 16-bit words as on the wire, without the checksum or with 0 in
/// its place.
#[inline(always)]
#[must_use]
pub const fn of_words<const N: usize>(words: &[u16; N]) -> u16 {
    let mut sum = 0;
    let mut i = 0;
    while i < N {
        sum += words[i] as u64;
        i += 1;
    }
    !fold(sum)
}

/// Decrements the time to live, which must not be 0, and corrects the checksum. The word has
/// time to live, protocol and checksum of an IPv4 header, as a little-endian machine reads
/// these four bytes.
#[inline(always)]
#[must_use]
pub const fn after_hop(word: u32) -> u32 {
    // The checksum grows by 1, but never to 0xFFFF (RFC 1624, section 3). So 2 is added and 1
    // taken away: at 0xFFFE the addition carries out of the word, and the carry is added too.
    const ONE: u64 = 1 << 16;
    let sum = word as u64 + 2 * ONE;
    (sum - ONE - 1 + (sum >> 32 << 16)) as u32
}

/// Folds a sum to 16 bits, in two steps. Each adds the number to itself with its halves
/// swapped; the upper half of the result is the one's complement sum of the two halves.
#[inline(always)]
#[must_use]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn longhand(words: &[u16]) -> u16 {
        let mut sum = words.iter().map(|&w| u32::from(w)).sum::<u32>();
        while sum > 0xFFFF {
            sum = (sum >> 16) + (sum & 0xFFFF);
        }
        !(sum as u16)
    }

    #[test]
    fn the_header_of_rfc_1071_style_examples_sums_right() {
        // 45 00 00 73 00 00 40 00 40 11 (b8 61) c0 a8 00 01 c0 a8 00 c7
        let words = [
            0x4500, 0x0073, 0x0000, 0x4000, 0x4011, 0, 0xc0a8, 0x0001, 0xc0a8, 0x00c7,
        ]
        .map(u16::to_be);
        assert_eq!(of_words(&words), 0xb861u16.to_be());
    }

    #[test]
    fn a_hop_changes_a_checksum_by_the_time_to_live() {
        for checksum in 0..=u16::MAX {
            for protocol in [0, 6, 17, 255] {
                let [old, new] = [64, 63].map(|ttl| u16::from_le_bytes([ttl, protocol]));
                let expected = Delta::ZERO.word(old, new).apply(checksum);
                let word = |checksum: u16, rest| u32::from(checksum) << 16 | u32::from(rest);
                let after = after_hop(word(checksum, old));
                assert_eq!(after, word(expected, new), "{checksum:04x}");
            }
        }
    }

    #[test]
    fn a_udp_checksum_of_zero_stays_zero() {
        assert_eq!(Delta::ZERO.word(1, 2).apply_udp(0), 0);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_fresh_computation(
            words in proptest::array::uniform10(any::<u16>()),
            new in any::<[u16; 3]>(),
        ) {
            let old = longhand(&words);
            let mut changed = words;
            changed[2..5].copy_from_slice(&new);
            let long = |w: &[u16]| u32::from(w[0]) | u32::from(w[1]) << 16;
            let updated = Delta::ZERO
                .word(words[2], changed[2])
                .long(long(&words[3..5]), long(&changed[3..5]))
                .apply(old);
            let fresh = longhand(&changed);
            // 0 and 0xFFFF are the same number in one's complement; only an all-zero
            // header tells them apart.
            prop_assert!(updated == fresh || (updated ^ fresh == 0xFFFF && changed == [0; 10]));
        }

        #[test]
        fn a_udp_update_never_says_no_checksum(old in 1..=u16::MAX, a in any::<u32>(), b in any::<u32>()) {
            prop_assert_ne!(Delta::ZERO.long(a, b).apply_udp(old), 0);
        }
    }
}
