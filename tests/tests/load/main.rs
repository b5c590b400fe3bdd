//! Nothing is lost: thousands of connections through a director whose daemon ends, crashes and
//! starts again.
#![expect(
    clippy::unwrap_used,
    reason = "all of it is tests, also what several of them share"
)]

mod alone;
mod crashes;
mod edits;
mod field;
mod restarts;
mod steps;
