//! Where in the table a key may be stored: the hash function.

use crate::layout::{key::Key, slot::BUCKET_SLOTS};

/// The number of buckets of a table that holds at least `connections`.
///
/// Three slots for each: 96 bytes. A NAT connection takes two slots. A table full of them is two
/// thirds full, where about one entry in a million finds both buckets full.
#[must_use]
pub const fn buckets_for(connections: u32) -> u32 {
    ((connections as u64 * 3).div_ceil(BUCKET_SLOTS as u64)) as u32
}

/// The table's hash function: drawn at random when a table is made, and kept with it.
///
/// Pair-multiply-shift (Thorup, "High Speed Hashing for Integers and Strings", section 3.5), a
/// universal family: without these numbers nobody can choose keys that collide more often than
/// random ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hash {
    /// Added to the four words of the key.
    pub addends: [u64; 4],
    /// Number of buckets of the table.
    pub buckets: u32,
    /// Zero.
    pub _pad: u32,
}

/// The hash of a key. It chooses two buckets, and the slot in each where to look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    hash: u64,
    buckets: u32,
}

/// The buckets and the slot that a hash chooses, computed. A lookup that succeeds at its first slot
/// needs one of the three only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The bucket to look in first.
    pub first: u32,
    /// The bucket to look in next; may be the same one.
    pub second: u32,
    /// The slot of a bucket where to begin.
    pub home: u32,
}

impl Spot {
    /// The bucket that comes first (0) or next (1).
    #[inline(always)]
    #[must_use]
    pub const fn bucket(&self, number: u32) -> u32 {
        if number == 0 { self.first } else { self.second }
    }
}

impl Hash {
    /// Where `key`, which names no server, may be stored.
    #[inline(always)]
    #[must_use]
    pub const fn places(&self, key: &Key) -> Places {
        let [a, b, c, d] = self.addends;
        Places {
            hash: product(key.addresses, a, b).wrapping_add(product(key.ports, c, d)),
            buckets: self.buckets,
        }
    }
}

#[inline(always)]
const fn product(words: u64, a: u64, b: u64) -> u64 {
    // Both factors contain the upper half. Keys that differ there are spread by `a`, keys that
    // differ only below by `b`. Masking the upper half out costs an instruction.
    words
        .wrapping_add(a)
        .wrapping_mul((words >> 32).wrapping_add(b))
}

/// Odd, with bits set all over: makes the upper half of a product depend on all of a hash.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Places {
    /// The bucket to look in first. Hashes of consecutive keys are close together; with one half
    /// folded over the other, they are not.
    #[inline(always)]
    #[must_use]
    pub const fn first(&self) -> u32 {
        scale(self.hash ^ self.hash << 32, self.buckets)
    }

    /// The bucket to look in next; may be the same one.
    #[inline(always)]
    #[must_use]
    pub const fn second(&self) -> u32 {
        let folded = self.hash ^ self.hash >> 32;
        scale(folded.wrapping_mul(MIXER), self.buckets)
    }

    /// The slot of the bucket where to begin, 0 to 7.
    #[inline(always)]
    #[must_use]
    pub const fn home(&self) -> u32 {
        (self.hash >> 29) as u32 & (BUCKET_SLOTS - 1)
    }

    /// All three.
    #[inline(always)]
    #[must_use]
    pub const fn spot(&self) -> Spot {
        Spot {
            first: self.first(),
            second: self.second(),
            home: self.home(),
        }
    }
}

/// Maps the upper half of `mixed` evenly onto 0..`buckets`.
#[inline(always)]
const fn scale(mixed: u64, buckets: u32) -> u32 {
    (((mixed >> 32) * buckets as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{TCP, UDP};
    use proptest::prelude::*;
    use std::vec;

    fn hash() -> Hash {
        Hash {
            addends: [
                0x9e37_79b9_7f4a_7c15,
                0xbf58_476d_1ce4_e5b9,
                0x94d0_49bb_1331_11eb,
                0xff51_afd7_ed55_8ccd,
            ],
            buckets: buckets_for(100_000),
            _pad: 0,
        }
    }

    #[test]
    fn a_table_full_of_nat_connections_finds_a_slot_for_each() {
        // 100 000 connections, two entries each, the bucket chosen as the data plane does.
        let hash = hash();
        let mut used = vec![0u32; hash.buckets as usize];
        let mut failed = 0;
        for client in 0..100_000u32 {
            let ports = 1024 + client % 60_000;
            for (a, b) in [(client * 7, 0x0a00_0001), (0x0a00_0102, client * 7)] {
                let places = hash.places(&Key::new(a, b, ports | 80 << 16, TCP));
                let [x, y] = [places.first(), places.second()];
                let crowded = used[x as usize] > BUCKET_SLOTS / 2;
                let emptier = if crowded && used[y as usize] < used[x as usize] {
                    y
                } else {
                    x
                };
                if used[emptier as usize] == BUCKET_SLOTS {
                    failed += 1;
                } else {
                    used[emptier as usize] += 1;
                }
            }
        }
        assert_eq!(failed, 0);
    }

    proptest! {
        #[test]
        fn places_lie_in_the_table(a in any::<u32>(), b in any::<u32>(), p in any::<u32>(), n in 1..=u32::MAX) {
            let hash = Hash { buckets: n, ..hash() };
            let Spot { first, second, home } = hash.places(&Key::new(a, b, p, UDP)).spot();
            prop_assert!(first < n && second < n && home < BUCKET_SLOTS);
        }
    }
}
