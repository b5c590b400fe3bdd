//! Which IPv4 addresses concern the director: a byte for each hash of an address, so that the
//! XDP program sees with one memory access that a packet is not for it.
//!
//! An address concerns the director if its byte is not 0. That may also happen to an address
//! with the same hash: the packet is then looked up and not found. A byte must never be 0 for
//! a VIP, a NAT server's address, or an address that a rule covers.

/// Number of marks. They are bytes and not bits, which would cost every packet five
/// instructions more.
pub const MARKS: u32 = 1 << 16;

/// The marks as 64-bit words.
pub const WORDS: u32 = MARKS / 8;

/// The bit of a mark that says: an address of the director has this hash.
const ADDRESS: u8 = 1;

/// The bit of every mark that says: all addresses have to be looked at. Set while a rule covers
/// a prefix, whose addresses may have any hash.
const ALL: u8 = 2;

/// The mark of an address (as on the wire).
#[inline(always)]
#[must_use]
pub const fn mark(address: u32) -> u32 {
    address.wrapping_mul(0x9E37_79B1) >> 16
}

/// Where the daemon sets the mark of an address: a word, and the bit in it (little endian).
#[must_use]
pub const fn place(address: u32) -> (u32, u64) {
    let mark = mark(address);
    (mark / 8, (ADDRESS as u64) << (mark % 8 * 8))
}

/// The bits of a word that [`place`] gives, all of them.
pub const ADDRESS_IN_WORD: u64 = u64::from_ne_bytes([ADDRESS; 8]);

/// The bits to set in every word to have all addresses looked at, and to clear to end that.
/// Marks of single addresses are not affected.
pub const ALL_IN_WORD: u64 = u64::from_ne_bytes([ALL; 8]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_address_has_a_place(address in any::<u32>()) {
            let (word, bit) = place(address);
            prop_assert!(word < WORDS && bit.count_ones() == 1);
            let byte = bit.to_le_bytes().iter().position(|&byte| byte == 1);
            prop_assert_eq!(byte, Some((mark(address) % 8) as usize));
        }

        #[test]
        fn looking_at_all_addresses_and_ending_that_keeps_the_marks_of_single_ones(marked in any::<u32>(), other in any::<u32>()) {
            let mut marks = std::vec![0u64; WORDS as usize];
            let concerns = |marks: &[u64], address| {
                let word = marks[(mark(address) / 8) as usize];
                word.to_le_bytes()[(mark(address) % 8) as usize] != 0
            };
            let (word, bit) = place(marked);
            marks[word as usize] |= bit;
            marks.iter_mut().for_each(|word| *word |= ALL_IN_WORD);
            prop_assert!(concerns(&marks, marked) && concerns(&marks, other));
            marks.iter_mut().for_each(|word| *word &= !ALL_IN_WORD);
            prop_assert!(concerns(&marks, marked));
            prop_assert_eq!(concerns(&marks, other), mark(other) == mark(marked));
        }
    }
}
