//! What the feed sends. The benchmark's user side reads this file too (`#[path]`).

/// Bytes of a frame that the feed writes anew every time: Ethernet, IPv4 and TCP headers.
pub const HEADERS: usize = 56;

/// The one entry of the map `plan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Plan {
    /// How each packet begins, as on the wire: that of flow 0.
    pub headers: [u8; HEADERS],
    /// When the first packet was fed, by `CLOCK_MONOTONIC` in nanoseconds. The feed's to write.
    pub started: u64,
    /// When the last one was fed. The feed's to write.
    pub ended: u64,
    /// Packets fed. The feed's to write.
    pub fed: u32,
    /// Packets that are to be fed.
    pub packets: u32,
    /// The number of the next packet's flow.
    pub next: u32,
    /// The first flow.
    pub first: u32,
    /// The one after the last, where the first comes again.
    pub end: u32,
    /// How long a frame is, in bytes; at least [`HEADERS`].
    pub length: u32,
    /// Whether flows differ in their destination (1) or their source (0).
    pub by_destination: u32,
    /// Zero.
    pub _pad: u32,
}

const _: () = assert!(size_of::<Plan>() == HEADERS + 48);

/// Cache lines to choose one from: 96 MB, as the connection table of a million has.
pub const LINES: u32 = 1_500_000;

/// The entry of the map `leave_by` for what the feed sends.
pub const SENT_BY: u32 = 0;
/// The entry of the map `leave_by` for what `redirect` was attached to turn.
pub const TURNED_TO: u32 = 1;

/// Bytes of a packet that `sink` keeps: Ethernet, two IPv4 headers, TCP without options.
pub const KEPT: usize = 74;
