//! The maps themselves, for tests and benchmarks: they load the program without a daemon, look
//! at what a daemon wrote, and change it behind the daemon's back. Nothing else may use this.

pub use crate::{
    arrays::mapped::Mapped,
    connections::sweep::run as sweep,
    kernel::{bpffs::Bpffs, clock},
    life::{links::end, object::DIRECTOR, pins::Pins},
    maps::variable::{Parts, SECTION, Variable},
};
