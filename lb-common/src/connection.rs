//! The connection table: one array of buckets that both halves read and write in place.
//!
//! A connection lives in one [`Slot`] of 32 bytes, so that a hit touches one cache line. It
//! may stand in any of the eight slots of two [`Bucket`]s that its key chooses; a new
//! connection goes into the first, or into the emptier one where that is more than half full. Everything about a connection that changes is one
//! 64-bit [`Word`], replaced by compare-and-swap: whoever wins a transition owns its effect
//! on the server's active and inactive counts, which is what keeps those exact.
//!
//! Life of a slot: free → claimed (its owner writes key and route) → live → claimed (its
//! owner takes the reverse entry and the counts away) → free.

use crate::tcp::TcpState;

/// Which way a packet of a connection travels, as IPVS tells the directions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client, when replies pass the director too (NAT).
    Input,
    /// From the server (NAT).
    Output,
    /// From the client, when replies bypass the director (DR, TUN, local).
    InputOnly,
}

/// Source and destination of a packet as it arrives, addresses and ports as on the wire.
///
/// The forward entry of a connection has client → VIP, the reverse entry of a NAT
/// connection has RIP → client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Key {
    /// Source address, then destination address in the upper half.
    pub addresses: u64,
    /// Source port, destination port, IP protocol, from the lowest bits up; then, in the slot of
    /// a reverse entry only, the index of the server ([`Key::of_server`]).
    pub ports: u64,
}

impl Key {
    /// Composes a key; `ports` is source port | destination port << 16.
    #[inline(always)]
    #[must_use]
    pub const fn new(source: u32, destination: u32, ports: u32, protocol: u8) -> Self {
        Self {
            addresses: source as u64 | (destination as u64) << 32,
            ports: ports as u64 | (protocol as u64) << 32,
        }
    }

    /// The same with the index of a server, below 2^24, which is no part of what is compared.
    #[inline(always)]
    #[must_use]
    pub const fn of_server(self, server: u32) -> Self {
        Self {
            ports: self.ports & COMPARED | (server as u64) << SERVER_SHIFT,
            ..self
        }
    }

    /// The index that [`Key::of_server`] added.
    #[inline(always)]
    #[must_use]
    pub const fn server(&self) -> u32 {
        (self.ports >> SERVER_SHIFT) as u32
    }

    /// Whether these are keys of the same packets, whatever servers they name.
    #[inline(always)]
    #[must_use]
    pub const fn same(&self, other: &Self) -> bool {
        self.addresses == other.addresses && (self.ports ^ other.ports) << (64 - SERVER_SHIFT) == 0
    }

    /// Whether `reverse`, the key of a reverse entry, leads back to the connection with this key
    /// and server.
    #[inline(always)]
    #[must_use]
    pub const fn is_answered_by(&self, server: u32, reverse: &Self) -> bool {
        reverse.server() == server
            && reverse.destination() == self.source()
            && reverse.destination_port() == self.source_port()
            && reverse.protocol() == self.protocol()
    }

    /// The IPv4 address that the packet comes from.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> u32 {
        self.addresses as u32
    }

    /// The IPv4 address that the packet goes to.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> u32 {
        (self.addresses >> 32) as u32
    }

    /// The port that the packet comes from.
    #[inline(always)]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        self.ports as u16
    }

    /// The port that the packet goes to.
    #[inline(always)]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    /// IP protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.ports >> 32) as u8
    }
}

const SERVER_SHIFT: u32 = 40;
const COMPARED: u64 = (1 << SERVER_SHIFT) - 1;

/// How many servers there can be in all: an index has 24 bits.
pub const SERVER_INDICES: u32 = 1 << (64 - SERVER_SHIFT);

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// Nothing is stored here; key and route are leftovers.
pub const STATE_FREE: u8 = 0;
// 1 to 10: the numbers of `TcpState`.
/// A UDP connection.
pub const STATE_UDP: u8 = 11;
/// The reverse entry of a NAT connection: no state of its own, see [`Reverse`].
pub const STATE_REVERSE: u8 = 14;
/// Being written or taken away by one owner. Matches no packet.
pub const STATE_CLAIMED: u8 = 15;
/// Number of values that a state can have, for tables indexed by state.
pub const STATE_VALUES: usize = 16;

/// True for states that IPVS counts as active; every other live state counts as inactive.
#[inline(always)]
#[must_use]
pub const fn is_active(state: u8) -> bool {
    const ACTIVE: u16 = 1 << TcpState::Established as u8
        | 1 << TcpState::SynSent as u8
        | 1 << TcpState::SynRecv as u8
        | 1 << TcpState::SynAck as u8;
    ACTIVE >> (state & 0xF) & 1 == 1
}

/// True for a state in which a connection (not a reverse entry) is stored.
#[inline(always)]
#[must_use]
pub const fn is_connection(state: u8) -> bool {
    state != STATE_FREE && state <= STATE_UDP
}

/// How long a connection may stay in each state without a packet, in [ticks](TICK_SHIFT).
pub type Timeouts = [u32; STATE_VALUES];

/// IPVS's timeouts in seconds, by state; 0 where the value is not the timeout of a connection.
pub const DEFAULT_TIMEOUTS: [u32; STATE_VALUES] = [
    0, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300, 0, 0, 0, 0,
];

/// Time is the kernel's jiffies (which count `hz` in a second: 100 to 1000, as the kernel was
/// built), shifted right by this: ticks of 4 to 40 ms, which wrap after half a year at least.
/// To read jiffies costs one load, and a connection under load is stamped some 60 times a
/// second rather than at every packet.
pub const TICK_SHIFT: u32 = 2;

/// The ticks in a number of seconds, rounded up; never more than ages can be told by.
#[must_use]
pub const fn ticks(seconds: u32, hz: u32) -> u32 {
    let ticks = (seconds as u64 * hz as u64).div_ceil(1 << TICK_SHIFT);
    if ticks < MAX_AGE as u64 {
        ticks as u32
    } else {
        MAX_AGE
    }
}

const MAX_AGE: u32 = u32::MAX / 2;

/// The time between two stamps, in ticks. A stamp from the future (another CPU's clock was
/// read a moment later) counts as now.
#[inline(always)]
#[must_use]
pub const fn age(now: u32, stamp: u32) -> u32 {
    let age = now.wrapping_sub(stamp);
    if age > MAX_AGE { 0 } else { age }
}

/// What changes during a connection's life. In the slot: stamp (32 bits), state (8), flags (8),
/// 16 bits of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// When the last packet passed, in ticks. In a reverse entry: the last from the server that
    /// did not concern the forward entry.
    pub stamp: u32,
    /// `STATE_*` or a `TcpState`.
    pub state: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// In a reverse entry: the route epoch that its next hop belongs to.
    pub epoch: u16,
}

/// The connection has a reverse entry: its replies pass the director.
pub const FLAG_NAT: u8 = 1;
/// In a reverse entry: the connection is established (or UDP's), so that a reply without news
/// need not touch the forward entry. That the connection lives is then to be seen in the
/// reverse entry's stamp: it has expired when both are too old.
pub const FLAG_SETTLED: u8 = 2;

/// In a claimed slot: the daemon is taking the connection away. One that is found in this state
/// by a daemon which is not doing so was left by one that crashed.
pub const FLAG_SWEPT: u8 = 4;

impl Word {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.stamp as u64
            | (self.state as u64) << 32
            | (self.flags as u64) << 40
            | (self.epoch as u64) << 48
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            stamp: bits as u32,
            state: (bits >> 32) as u8,
            flags: (bits >> 40) as u8,
            epoch: (bits >> 48) as u16,
        }
    }

    /// The same with another state.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: u8) -> Self {
        Self { state, ..self }
    }
}

/// The second half of a forward entry's value: which server, and where the reverse entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Index into the map `servers`.
    pub server: u32,
    /// The reverse entry's slot, or [`NO_SLOT`].
    pub reverse: u32,
}

impl Forward {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.server as u64 | (self.reverse as u64) << 32
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            server: bits as u32,
            reverse: (bits >> 32) as u32,
        }
    }
}

/// The second half of a reverse entry's value: the way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reverse {
    /// MAC address of the next hop towards the client.
    pub next_hop: [u8; 6],
    /// Index into the map `ports` of the interface to leave by: its own index's lower 16 bits.
    pub port: u16,
}

impl Reverse {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        let [a, b, c, d, e, f] = self.next_hop;
        let [g, h] = self.port.to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = bits.to_ne_bytes();
        Self {
            next_hop: [a, b, c, d, e, f],
            port: u16::from_ne_bytes([g, h]),
        }
    }
}

/// No slot.
pub const NO_SLOT: u32 = u32::MAX;

/// One place in the table.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// Written while claimed, constant while live.
    pub key: Key,
    /// A [`Word`]; replaced by compare-and-swap only (the stamp alone may be stored).
    pub word: u64,
    /// A [`Forward`] or, where the state is [`STATE_REVERSE`], a [`Reverse`].
    pub route: u64,
}

/// Slots in a bucket.
pub const BUCKET_SLOTS: u32 = 8;

/// What a key chooses: four cache lines.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Bucket {
    /// In no order.
    pub slots: [Slot; BUCKET_SLOTS as usize],
}

const _: () = assert!(size_of::<Slot>() == 32 && size_of::<Bucket>() == 256);

/// Buckets for a table that holds at least `connections`.
///
/// Three slots for each: 96 bytes. A NAT connection takes two slots, so that a table full
/// of them is two thirds full, where about one entry in a million finds both buckets full.
#[must_use]
pub const fn buckets_for(connections: u32) -> u32 {
    ((connections as u64 * 3).div_ceil(BUCKET_SLOTS as u64)) as u32
}

/// The table's hash function: drawn at random when a table is made, and kept with it.
///
/// Pair-multiply-shift (Thorup, "High Speed Hashing for Integers and Strings", section 3.5): a
/// universal family, so that nobody who does not know these numbers can choose keys that
/// collide more often than random ones do.
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

/// The two buckets where a key may stand, and the slot in each where to look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    hash: u64,
    buckets: u32,
}

impl Hash {
    /// Where `key`, which names no server, may stand.
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
    // The upper word stands in both factors: what is random about their product is `a` where
    // upper words differ, and `b` where only lower ones do. To mask it would cost more.
    words
        .wrapping_add(a)
        .wrapping_mul((words >> 32).wrapping_add(b))
}

/// Odd, with bits set all over: makes the upper half of a product depend on all of a hash.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Places {
    /// The bucket to look in first. Hashes of keys in a row stand in a row, too; with one half
    /// folded over the other, they do not.
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
}

/// Maps the upper half of `mixed` evenly onto 0..`buckets`.
#[inline(always)]
const fn scale(mixed: u64, buckets: u32) -> u32 {
    (((mixed >> 32) * buckets as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    #[test]
    fn active_states_are_those_that_ipvs_counts_as_active() {
        let active: Vec<u8> = (0..16).filter(|&s| is_active(s)).collect();
        assert_eq!(active, [1, 2, 3, 10]);
    }

    #[test]
    fn a_stamp_from_the_future_has_no_age() {
        assert_eq!(age(5, 3), 2);
        assert_eq!(age(3, 5), 0);
        assert_eq!(age(1, u32::MAX), 2);
    }

    #[test]
    fn seconds_become_ticks_rounded_up() {
        assert_eq!(ticks(0, 250), 0);
        assert_eq!(ticks(1, 100), 25);
        assert_eq!(ticks(1, 250), 63);
        assert_eq!(ticks(900, 1000), 225_000);
        assert_eq!(ticks(u32::MAX, 1000), u32::MAX / 2);
    }

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
            let places = hash.places(&Key::new(a, b, p, UDP));
            prop_assert!(places.first() < n && places.second() < n && places.home() < BUCKET_SLOTS);
        }

        #[test]
        fn words_survive_the_slot(stamp in any::<u32>(), state in 0..16u8, flags in any::<u8>(), epoch in any::<u16>()) {
            let word = Word { stamp, state, flags, epoch };
            prop_assert_eq!(Word::from_bits(word.bits()), word);
        }

        #[test]
        fn keys_give_back_what_they_were_made_of(s in any::<u32>(), d in any::<u32>(), sp in any::<u16>(), dp in any::<u16>(), p in any::<u8>()) {
            let key = Key::new(s, d, u32::from(sp) | u32::from(dp) << 16, p);
            prop_assert_eq!(
                (key.source(), key.destination(), key.source_port(), key.destination_port(), key.protocol()),
                (s, d, sp, dp, p)
            );
        }
    }
}
