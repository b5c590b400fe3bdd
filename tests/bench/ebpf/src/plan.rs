//! The plan of a feed: what it sends. The benchmark's user side reads this file too (`#[path]`).

/// Bytes of a frame that the feed writes for each packet: Ethernet, IPv4 and TCP headers.
pub const HEADERS: usize = 56;

/// The one entry of the map `plan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Plan {
    /// The first bytes of the packet of flow 0, as on the wire.
    pub headers: [u8; HEADERS],
    /// The time of the first packet, by `CLOCK_MONOTONIC` in nanoseconds. The feed writes it.
    pub started: u64,
    /// The time of the last packet. The feed writes it.
    pub ended: u64,
    /// Number of packets fed. The feed writes it.
    pub fed: u32,
    /// Number of packets to feed.
    pub packets: u32,
    /// The number of the next packet's flow.
    pub next: u32,
    /// The first flow.
    pub first: u32,
    /// The flow after the last one. There, the first flow comes again.
    pub end: u32,
    /// The length of a frame in bytes, at least [`HEADERS`].
    pub length: u32,
    /// Whether flows differ in their destination (1) or their source (0).
    pub by_destination: u32,
    /// Zero.
    pub _pad: u32,
}

const _: () = assert!(size_of::<Plan>() == HEADERS + 48);

/// The number of cache lines to choose from: 96 MB, as much as the connection table of a million.
pub const LINES: u32 = 1_500_000;

/// The entry of the map `leave_by` for packets that the feed sends.
pub const SENT_BY: u32 = 0;
/// The entry of the map `leave_by` for packets that `redirect` turns around.
pub const TURNED_TO: u32 = 1;

/// Bytes of a packet that `sink` keeps: Ethernet, two IPv4 headers, TCP without options.
pub const KEPT: usize = 74;
