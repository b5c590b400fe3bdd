//! Values that options have: how each is written, and what is not one.
//!
//! A value is read from one word (a command line), from a value of a file, and from JSON (the
//! socket, the record); it is written as each of them, too.
//!
//! - `value`: what all of them have in common
//! - `plain`, `seconds`, `text`: numbers, times, texts
//! - `scheduler`, `method`, `unreachable`: words out of a few (`named`)
//! - `persistence`, `tunnel`: values that consist of several
//! - `word`: what a file writes, before it is known what it should be

mod method;
mod named;
mod persistence;
mod plain;
#[cfg(test)]
mod round_trip;
mod scheduler;
mod seconds;
mod text;
mod tunnel;
mod unreachable;
mod value;
mod word;

pub use self::{
    method::Method,
    persistence::{Mask, Persistence},
    scheduler::{Scheduler, SchedulerFlags},
    seconds::Seconds,
    text::{Engine, Name, Text},
    tunnel::{Checksum, Tunnel},
    unreachable::Unreachable,
    value::Value,
    word::{text, word},
};
