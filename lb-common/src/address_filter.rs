//! Which IPv4 addresses concern the director at all: a bitmap that tells, with one memory
//! access, that a packet is not ours.
//!
//! A bit may be set for an address that is none of ours (the packet is then looked up in
//! vain), but never clear for one that is: VIPs, and NAT servers' addresses.

/// 64-bit words of the bitmap.
pub const WORDS: u32 = 1024;

/// Where an address (as on the wire) stands: word, and bit in it.
#[inline(always)]
#[must_use]
pub const fn place(address: u32) -> (u32, u64) {
    let hash = address.wrapping_mul(0x9E37_79B1);
    (hash >> 22, 1 << ((hash >> 16) & 63))
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
        }
    }
}
