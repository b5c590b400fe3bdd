//! Virtual services, and the rosters that their schedulers walk.

/// How a service chooses a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scheduler {
    /// Round robin.
    Rr = 0,
    /// Weighted round robin.
    Wrr = 1,
    /// Least connection.
    Lc = 2,
    /// Weighted least connection.
    Wlc = 3,
}

/// Key of the map `services`, as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ServiceKey {
    /// The VIP.
    pub address: u32,
    /// The port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub _pad: u8,
}

/// Value of the map `services`. Replaced whole, so that no packet sees half a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// Index into the map `rosters` of the roster's header.
    pub roster: u32,
    /// Entries in the roster.
    pub servers: u32,
    /// A [`Scheduler`].
    pub scheduler: u8,
    /// The [`Method`](crate::server::Method) of servers that come without one: only the daemon
    /// reads it.
    pub forward: u8,
    /// Zero.
    pub _pad: [u8; 2],
    /// Index of this service's row in the map `retired`.
    pub index: u32,
}

/// What people call a service: UTF-8, then zeros. Value of the map `names`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Name {
    /// See above.
    pub bytes: [u8; NAME_BYTES],
}

/// Most bytes of a name.
pub const NAME_BYTES: usize = 256;

const _: () = assert!(size_of::<ServiceKey>() == 8 && size_of::<Service>() == 16);

/// Entries in one [`RosterLine`].
pub const LINE_ENTRIES: u32 = 8;

/// Most servers that one service can have.
pub const MAX_SERVERS: u32 = 1024;

/// One cache line of the map `rosters`.
///
/// A roster is a run of lines that the control plane writes before a service refers to it
/// and never changes afterwards, but for the scheduler's position: a header
/// (word 0: [`Position`](crate::schedule::Position), word 1:
/// [`Weights`](crate::schedule::Weights), the rest 0), then eight [`Entry`]s a line in the
/// order in which they are scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RosterLine {
    /// See above.
    pub words: [u64; LINE_ENTRIES as usize],
}

/// Lines that a roster of this many servers takes, header included.
#[must_use]
pub const fn roster_lines(servers: u32) -> u32 {
    1 + servers.div_ceil(LINE_ENTRIES)
}

/// A server in a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index into the maps `servers` and `loads`.
    pub server: u32,
    /// 0 takes no new connections.
    pub weight: u32,
}

impl Entry {
    /// As stored.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.server as u64 | (self.weight as u64) << 32
    }

    /// As read.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            server: bits as u32,
            weight: (bits >> 32) as u32,
        }
    }
}
