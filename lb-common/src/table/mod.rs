//! The connection table's protocol: how a slot is claimed, opened, changed and freed.
//!
//! The table is an array of buckets that several CPUs and the daemon use at the same time,
//! without a lock. An entry is in one of the slots of the two buckets that its key chooses. All
//! of it that changes is one 64-bit [`Word`](crate::layout::word::Word), which is replaced by
//! compare-and-swap. Who replaces it also does what follows from that: so a server's counts are
//! changed exactly once for each change of a connection.
//!
//! ```text
//!            claim              contest               elect            publish
//!   free ───────────► claimed ───────────► contesting ─────► elected ───────────► live ─┐
//!    ▲                 ▲   │                   │ another one                 step, │    │
//!    │     free        │   │                   ▼ was elected               settle  └────┤
//!    └─────────────────┼───┴──────────────── claimed                                    │
//!                      └────────────────────────────────────────────────────────────────┘
//!                                                   end
//! ```
//!
//! A connection without a rival goes from contesting to live in one step, if it needs no reverse
//! entry.
//!
//! The arrows: [`claim`], [`contest`] (contest, elect), [`open`] (publish), [`live`] (step,
//! settle), [`end`] (end, free).
//!
//! 1. A claimed slot belongs to the CPU that claimed it. Nobody else writes key, route or word,
//!    except for stamps: a CPU that found the slot's entry earlier may still stamp it.
//! 2. Key and server are constant from contesting to live.
//! 3. Of all entries with the same key, at most one is elected or live. [`contest`] says why.
//! 4. Each claim begins a new generation, which is part of the word. A compare-and-swap succeeds
//!    only on the entry whose key was read.
//! 5. A server counts a connection from just before it is contesting until just after it is
//!    claimed again, or has lost the contest.
//!
//! The XDP program runs all of it. The daemon reads the table, and has the kernel run
//! [`sweep`] for what has expired: a program in the kernel is never killed half-way. The
//! tests of this crate run the same functions in `loom`, which tries interleavings.

pub mod claim;
pub mod contest;
pub mod end;
pub mod entry;
pub mod live;
pub mod memory;
pub mod open;
pub mod places;
pub mod recount;
pub mod steps;
pub mod sweep;

/// How often a compare-and-swap is tried.
///
/// It fails where another CPU has changed the word since it was read. A stamp changes a word at
/// most once a tick; any other change takes a packet of the same connection. So the third try
/// is rare. The number is fixed because no CPU waits for another one.
const TRIES: u32 = 4;
