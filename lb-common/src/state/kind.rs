//! What a slot of the connection table holds, as one byte.

/// What a slot of the table holds: bits 4 to 6 of the state byte.
///
/// The order matters to the packet path: one comparison tells an entry that packets find (from
/// TCP to `Reverse`) from all others, another one tells a reverse entry from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Free = 0x00,
    /// A TCP connection, in a [`TcpState`].
    Tcp = 0x10,
    /// A UDP connection.
    Udp = 0x20,
    // 0x30 and 0x40: SCTP, templates.
    /// The reverse entry of a NAT connection. The four bits of the state belong to the
    /// [generation](crate::layout::word::Word::generation).
    Reverse = 0x50,
    /// A connection or a reverse entry that a CPU is opening.
    Opening = 0x60,
    /// A slot that one CPU owns: it is writing an entry there, or removing one.
    Claimed = 0x70,
}

/// The bits of the state byte that hold the kind.
pub const KIND: u8 = 0x70;

/// The bits of the state byte that hold the state.
pub const STATE: u8 = 0x0F;

/// The number of values of the state byte, for tables indexed by it.
pub const STATES: usize = 128;

/// The state byte of an empty slot.
pub const FREE: u8 = Kind::Free as u8;
/// The state byte of a UDP connection.
pub const UDP: u8 = Kind::Udp as u8;
/// An entry that is being opened. There may be others with the same key.
pub const CONTESTING: u8 = Kind::Opening as u8;
/// An entry that is being opened, and has won: no other with the same key becomes live.
pub const ELECTED: u8 = Kind::Opening as u8 | 1;
/// The state byte of a slot that one CPU owns.
pub const CLAIMED: u8 = Kind::Claimed as u8;

/// True if packets find the entry: a connection, a template or a reverse entry.
#[inline(always)]
#[must_use]
pub const fn is_live(state: u8) -> bool {
    // One comparison instead of two: FREE becomes the largest number.
    state.wrapping_sub(1) < Kind::Opening as u8 - 1
}

/// True if a connection is stored, which its server counts: TCP, UDP or SCTP.
#[inline(always)]
#[must_use]
pub const fn is_connection(state: u8) -> bool {
    state.wrapping_sub(1) < (FIRST_UNCOUNTED - 1)
}

/// The first kind that no server counts: the templates'.
const FIRST_UNCOUNTED: u8 = 0x40;

/// True for a reverse entry among the [live](is_live) entries.
#[inline(always)]
#[must_use]
pub const fn is_reverse(state: u8) -> bool {
    state & KIND == Kind::Reverse as u8
}
