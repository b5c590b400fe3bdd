//! Which IPv4 addresses concern the director at all: marks that tell, with one memory access,
//! that a packet is not ours.
//!
//! A mark may stand for an address that is none of ours (the packet is then looked up in
//! vain), but never be missing for one that is: VIPs, and NAT servers' addresses.

/// Marks are bytes rather than bits, which would cost every packet five instructions more.
pub const MARKS: u32 = 1 << 16;

/// The marks as 64-bit words.
pub const WORDS: u32 = MARKS / 8;

/// The mark of an address (as on the wire).
#[inline(always)]
#[must_use]
pub const fn mark(address: u32) -> u32 {
    address.wrapping_mul(0x9E37_79B1) >> 16
}

/// The same for those who set it: word, and bit in it (little endian).
#[must_use]
pub const fn place(address: u32) -> (u32, u64) {
    let mark = mark(address);
    (mark / 8, 1 << (mark % 8 * 8))
}

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
    }
}
