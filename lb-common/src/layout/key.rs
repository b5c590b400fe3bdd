//! Which packets an entry is for, as compact entries store it: IPv4.

/// Source and destination of a packet as it arrives, addresses and ports as on the wire.
///
/// The entry of a connection has client → VIP, the reverse entry of a NAT connection RIP →
/// client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Key {
    /// Source address, then destination address in the upper half.
    pub addresses: u64,
    /// Source port (bits 0 to 15), destination port (16 to 31), IP protocol (32 to 39). In the
    /// table also the index of the server (40 to 63), see [`Key::of_server`].
    pub ports: u64,
}

const SERVER_SHIFT: u32 = 40;
const COMPARED: u64 = (1 << SERVER_SHIFT) - 1;

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

    /// The same with the index of a server, below 2^24. [`Key::same`] does not compare it.
    ///
    /// Ports and server are one word, so that a packet which finds its ports reads the server of
    /// the same connection, even while the slot is given to another one.
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

    /// True for keys of the same packets.
    #[inline(always)]
    #[must_use]
    pub const fn same(&self, other: &Self) -> bool {
        self.addresses == other.addresses && (self.ports ^ other.ports) << (64 - SERVER_SHIFT) == 0
    }

    /// 0 for keys of the same packets: [`Key::same`] without a branch.
    #[inline(always)]
    #[must_use]
    pub const fn difference(&self, other: &Self) -> u64 {
        self.addresses ^ other.addresses | (self.ports ^ other.ports) << (64 - SERVER_SHIFT)
    }

    /// True if `reverse`, the key of a reverse entry, leads back to the connection with this
    /// key.
    #[inline(always)]
    #[must_use]
    pub const fn is_answered_by(&self, reverse: &Self) -> bool {
        reverse.server() == self.server()
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

const _: () = assert!(size_of::<Key>() == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_give_back_what_they_were_made_of(s in any::<u32>(), d in any::<u32>(), sp in any::<u16>(), dp in any::<u16>(), p in any::<u8>(), server in 0..1u32 << 24) {
            let key = Key::new(s, d, u32::from(sp) | u32::from(dp) << 16, p).of_server(server);
            prop_assert_eq!(
                (key.source(), key.destination(), key.source_port(), key.destination_port(), key.protocol(), key.server()),
                (s, d, sp, dp, p, server)
            );
        }

        #[test]
        fn keys_of_the_same_packets_do_not_differ(a in any::<[u64; 2]>(), bit in 0..128u32) {
            let key = Key { addresses: a[0], ports: a[1] };
            let other = match bit {
                0..64 => Key { addresses: key.addresses ^ 1 << bit, ..key },
                _ => Key { ports: key.ports ^ 1 << (bit - 64), ..key },
            };
            prop_assert_eq!(key.same(&other), bit >= 64 + SERVER_SHIFT);
            prop_assert_eq!(key.difference(&other) == 0, key.same(&other));
        }
    }
}
